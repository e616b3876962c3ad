package certificates

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// configurations are the files in which services name certificates.
var configurations = []struct{ service, pattern string }{
	{"nginx", "/etc/nginx/nginx.conf"}, {"nginx", "/etc/nginx/conf.d/*.conf"}, {"nginx", "/etc/nginx/sites-enabled/*"}, {"nginx", "/etc/nginx/snippets/*"},
	{"apache2", "/etc/apache2/apache2.conf"}, {"apache2", "/etc/apache2/sites-enabled/*"}, {"apache2", "/etc/apache2/conf-enabled/*"},
	{"apache2", "/etc/apache2/mods-enabled/*.conf"}, {"httpd", "/etc/httpd/conf/*.conf"}, {"httpd", "/etc/httpd/conf.d/*.conf"},
	{"haproxy", "/etc/haproxy/*.cfg"}, {"lighttpd", "/etc/lighttpd/*.conf"}, {"lighttpd", "/etc/lighttpd/conf-enabled/*"},
	{"caddy", "/etc/caddy/Caddyfile"}, {"traefik", "/etc/traefik/*.y*ml"}, {"traefik", "/etc/traefik/*.toml"}, {"squid", "/etc/squid/*.conf"},
	{"postfix", "/etc/postfix/main.cf"}, {"postfix", "/etc/postfix/master.cf"}, {"dovecot", "/etc/dovecot/*.conf"}, {"dovecot", "/etc/dovecot/conf.d/*.conf"},
	{"exim4", "/etc/exim4/exim4.conf*"}, {"exim4", "/etc/exim4/conf.d/*/*"}, {"proftpd", "/etc/proftpd/*.conf"}, {"vsftpd", "/etc/vsftpd*.conf"},
	{"postgresql", "/etc/postgresql/*/*/*.conf"}, {"postgresql", "/var/lib/pgsql/data/*.conf"}, {"postgresql", "/var/lib/pgsql/*/data/*.conf"},
	{"mysql", "/etc/my.cnf"}, {"mysql", "/etc/my.cnf.d/*.cnf"}, {"mysql", "/etc/mysql/*.cnf"}, {"mysql", "/etc/mysql/*/*.cnf"},
	{"redis", "/etc/redis/*.conf"}, {"mongod", "/etc/mongod.conf"}, {"slapd", "/etc/openldap/slapd.conf"}, {"slapd", "/etc/ldap/slapd.conf"},
	{"openvpn", "/etc/openvpn/*.conf"}, {"openvpn", "/etc/openvpn/server/*.conf"}, {"openvpn", "/etc/openvpn/client/*.conf"},
	{"stunnel", "/etc/stunnel/*.conf"}, {"mosquitto", "/etc/mosquitto/*.conf"}, {"mosquitto", "/etc/mosquitto/conf.d/*.conf"},
	{"rabbitmq", "/etc/rabbitmq/*.conf*"}, {"grafana", "/etc/grafana/grafana.ini"}, {"prosody", "/etc/prosody/*.lua"}, {"prosody", "/etc/prosody/conf.d/*"},
	{"elasticsearch", "/etc/elasticsearch/elasticsearch.yml"}, {"docker", "/etc/docker/daemon.json"}, {"rsyslog", "/etc/rsyslog.conf"},
	{"rsyslog", "/etc/rsyslog.d/*.conf"}, {"samba", "/etc/samba/smb.conf"}, {"freeradius", "/etc/freeradius/*/mods-enabled/eap"},
	{"freeradius", "/etc/raddb/mods-enabled/eap"}, {"unbound", "/etc/unbound/*.conf"}, {"unbound", "/etc/unbound/unbound.conf.d/*.conf"},
	{"zabbix", "/etc/zabbix/*.conf"}, {"kubernetes", "/etc/kubernetes/manifests/*.yaml"}, {"libvirt", "/etc/libvirt/*.conf"},
}

const (
	maxConfigs   = 2_000
	maxProcesses = 30_000  // whose command lines are read, of 10 us each
	maxNamed     = 200     // certificates of one configuration or command line
	maxUsed      = maxRows // certificates that all of them name
	maxMissing   = 3       // that are named
)

// configurations notes which services name which files.
func (s *search) configurations() {
	n := 0
	for _, c := range configurations {
		if s.remotes.Hold(path.Dir(c.pattern[:strings.IndexAny(c.pattern+"*", "*")])) {
			s.away = true
			continue
		}
		files, err := s.host.Glob(c.pattern)
		if err != nil || s.ctx.Err() != nil {
			return
		}
		for _, name := range files {
			if n++; n > maxConfigs {
				s.problem(fmt.Errorf("only the first %d configurations were looked at", maxConfigs))
				return
			}
			if s.remotes.Hold(name) {
				s.away = true
				continue
			}
			f := s.probe.keep(s.host, name, func(f *file, b []byte) {
				if f.names = named(path.Dir(name), b); len(f.names) > maxNamed {
					f.names, f.broken = f.names[:maxNamed], fmt.Errorf("%s: only the first %d certificates that it names were looked at", name, maxNamed)
				}
			})
			s.problem(f.broken)
			for _, cert := range f.names {
				s.use(cert, c.service)
				s.configured = append(s.configured, cert)
			}
		}
	}
}

// use notes that a service names a certificate.
func (s *search) use(cert, service string) {
	if _, known := s.users[cert]; !known && len(s.users) >= maxUsed {
		s.limited = true
		return
	}
	s.users[cert] = append(s.users[cert], service)
}

// missing says which certificates configurations name that are not there, the first few.
func (s *search) missing() (out []string) {
	for _, name := range sortedUnique(s.configured) {
		if f := s.probe.files[name]; f == nil || !probe.Absent(f.failed) || !mayHold(name) {
			continue
		}
		if len(out) == maxMissing {
			out = append(out, "others are missing too")
			break
		}
		out = append(out, fmt.Sprintf("%s names %s, which is not there", strings.Join(s.users[name], " and "), name))
	}
	return out
}

// named finds the certificates that a configuration names: the values of directives
// about certificates, and whatever is called like one. What is no absolute path lies
// beside the configuration. A path that is wrong is a file without certificates. Once there
// are more than maxNamed it looks no further.
func named(dir string, b []byte) []string {
	var out []string
	for line := range bytes.Lines(b) {
		text := strings.TrimSpace(string(line))
		if text == "" || strings.ContainsAny(text[:1], "#;") || strings.HasPrefix(text, "//") || len(text) > 4096 {
			continue
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t=<>\"',;:[](){}", r) })
		for i, w := range words {
			about := i > 0 && strings.Contains(strings.ToLower(words[i-1]), "cert")
			switch {
			case !about && !mayHold(w) || i == 0 || strings.ContainsAny(w, "$*%"):
			case path.IsAbs(w):
				out = append(out, path.Clean(w))
			case mayHold(w):
				out = append(out, path.Join(dir, w))
			}
		}
		if len(out) > 2*maxNamed { // most often the same again and again
			if out = sortedUnique(out); len(out) > maxNamed {
				return out
			}
		}
	}
	return sortedUnique(out)
}

// shared are folders that look the same from inside the containers that use them.
var shared = []string{"/etc/kubernetes/", "/var/lib/kubelet/", "/etc/etcd/"}

// processes notes the files that running programs have in their command lines, and those
// that servers hold open. Of the words only those that are paths of certificates are looked
// at.
func (s *search) processes() {
	pids, err := s.host.Processes(maxProcesses)
	if !probe.Absent(err) {
		s.problem(err)
	}
	own, _ := s.host.Readlink("/proc/1/ns/mnt") // not to be told: any may be ours
	hidden := 0
	for _, pid := range pids {
		if s.ctx.Err() != nil {
			return
		}
		dir := path.Join("/proc", strconv.Itoa(pid))
		b, _ := s.host.ReadFile(path.Join(dir, "cmdline")) // or it is gone
		certs, err := s.heldOpen(dir, arguments(b))
		if denied(err) {
			hidden++
		}
		if len(certs) > maxNamed {
			certs, s.limited = certs[:maxNamed], true
		}
		for _, cert := range certs {
			link, err := s.host.Readlink(path.Join(dir, "ns/mnt"))
			inside := err == nil && own != "" && link != own
			if inside && !slices.ContainsFunc(shared, func(p string) bool { return strings.HasPrefix(cert, p) }) {
				continue // a file of its container
			}
			s.use(cert, s.host.ReadString(path.Join(dir, "comm")))
		}
	}
	if hidden > 0 {
		s.problem(fmt.Errorf("files that %d programs hold open: %w", hidden, fs.ErrPermission))
	}
}

// heldOpen adds the certificates that a process has open, if it has sockets: a server reads
// some again, an editor is no user of what it shows.
func (s *search) heldOpen(dir string, certs []string) ([]string, error) {
	sockets, named := false, len(certs)
	err := s.host.Links(path.Join(dir, "fd"), func(target []byte) {
		switch {
		case bytes.HasPrefix(target, []byte("socket:[")):
			sockets = true
		case len(certs) <= maxNamed && len(target) > 0 && target[0] == '/' && mayHold(string(target)) && !slices.Contains(certs, string(target)):
			certs = append(certs, string(target))
		}
	})
	if !sockets {
		certs = certs[:named]
	}
	return certs, err
}

// arguments finds paths of certificates in a command line, alone or after "=": at most one
// more than maxNamed.
func arguments(b []byte) []string {
	var out []string
	for arg := range bytes.SplitSeq(b, []byte{0}) {
		if i := bytes.LastIndexByte(arg, '='); i >= 0 {
			arg = arg[i+1:]
		}
		if len(arg) > 4 && len(arg) < 1024 && arg[0] == '/' && mayHold(string(arg)) && len(out) <= maxNamed {
			out = append(out, path.Clean(string(arg)))
		}
	}
	return out
}
