package certificates

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// What a certificate is where it was found.
const (
	roleFound  = "found"
	roleAnchor = "anchor"
	roleBundle = "bundle"
)

// anchors are the folders whose authorities the system trusts because an administrator
// put them there: update-ca-certificates(8), update-ca-trust(8), trust(1) of SUSE.
var anchors = []string{
	"/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source", "/etc/pki/trust/anchors", "/etc/ca-certificates/trust-source/anchors",
}

// folders are where servers and their administrators keep certificates.
var folders = []string{
	"/etc/ssl", "/etc/pki", "/etc/letsencrypt/live", "/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/haproxy", "/etc/lighttpd",
	"/etc/postfix", "/etc/dovecot", "/etc/exim4", "/etc/courier", "/etc/cyrus", "/etc/openvpn", "/etc/ipsec.d", "/etc/swanctl",
	"/etc/kubernetes", "/var/lib/kubelet/pki", "/var/lib/rancher/k3s/server/tls", "/var/lib/rancher/k3s/agent", "/var/lib/minikube/certs",
	"/etc/etcd", "/etc/docker", "/etc/containers/certs.d", "/etc/postgresql", "/etc/postgresql-common", "/etc/mysql", "/etc/redis",
	"/etc/mongodb", "/etc/ldap", "/etc/openldap", "/etc/freeradius", "/etc/raddb", "/etc/stunnel", "/etc/puppetlabs/puppet/ssl",
	"/var/lib/puppet/ssl", "/etc/chef", "/etc/salt/pki", "/etc/cockpit", "/etc/libvirt", "/etc/pve/local", "/etc/grafana", "/etc/prometheus",
	"/etc/elasticsearch", "/etc/kibana", "/etc/logstash", "/etc/rabbitmq", "/etc/mosquitto", "/etc/traefik", "/etc/caddy", "/var/lib/caddy",
	"/etc/gitlab", "/etc/unbound", "/etc/bind", "/etc/squid", "/etc/samba", "/var/lib/samba/private/tls", "/etc/proftpd", "/etc/vsftpd",
	"/etc/prosody", "/etc/ejabberd", "/etc/coturn", "/etc/cups/ssl", "/etc/consul.d", "/etc/vault.d", "/etc/nomad.d", "/etc/zabbix",
	"/etc/rsyslog.d", "/etc/syslog-ng", "/etc/ceph", "/etc/certs", "/etc/tls", "/etc/acme", "/var/lib/acme",
}

// skipped are folders below those with what belongs to the distribution.
var skipped = []string{"/etc/pki/ca-trust/extracted", "/etc/pki/rpm-gpg", "/etc/pki/tls/misc", "/etc/ssl/certs/java", "/etc/pki/java"}

// extensions of files that hold certificates; the first three hold nothing else.
var extensions = []string{".crt", ".cer", ".cert", ".pem", ".der", ".jks", ".keystore", ".truststore"}

const (
	maxDepth   = 6
	maxEntries = 20_000 // files and folders that are looked at
)

// search is one look at the places of certificates.
type search struct {
	ctx   context.Context
	host  *probe.Host
	probe *certProbe
	// remotes are not to be touched; away says that something lies there.
	remotes *probe.Remotes
	away    bool
	roles   map[string]string   // of files that may hold certificates
	users   map[string][]string // services by path
	// configured are the files that configurations name.
	configured []string
	limited    bool // more are named than are looked at
	entries    int
	problems   probe.Problems
}

func (s *search) problem(err error) { s.problems.Add(err) }

// look fills roles and users.
func (s *search) look() {
	for _, dir := range anchors {
		s.walk(dir, roleAnchor, maxDepth)
	}
	for _, dir := range folders {
		s.walk(dir, roleFound, maxDepth)
	}
	s.served()
	s.configurations()
	s.processes()
	if s.limited {
		s.problem(fmt.Errorf("more certificates are named than are looked at: %d of one program, %d of all", maxNamed, maxUsed))
	}
	for path := range s.users {
		s.users[path] = sortedUnique(s.users[path])
		if _, ok := s.roles[path]; !ok {
			s.roles[path] = roleFound
		}
	}
}

func (s *search) walk(dir, role string, depth int) {
	if depth == 0 || s.ctx.Err() != nil || slices.Contains(skipped, dir) {
		return
	}
	if s.remotes.Hold(dir) {
		s.away = s.away || dir != served
		return
	}
	entries, err := s.host.ReadDir(dir)
	if denied(err) {
		s.problem(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if s.entries++; s.entries > maxEntries {
			s.problem(errors.New("too many files where certificates are looked for"))
			s.entries = -1 << 40 // say it once
			return
		}
		if e.IsDir() {
			s.walk(name, role, depth-1)
			continue
		}
		if _, known := s.roles[name]; known || !mayHold(e.Name()) {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 && !s.remotes.Hold(name) && s.elsewhere(dir, name) {
			continue
		}
		s.roles[name] = role
	}
}

// served is the folder of Proxmox's certificates, in a file system of its own daemon.
const served = "/etc/pve/local"

// served has a helper read the certificates of Proxmox.
func (s *search) served() {
	if !s.remotes.Hold(served) || s.ctx.Err() != nil {
		return
	}
	files, err := s.host.Aside(s.ctx, served+"/*.pem")
	s.problem(err)
	for name, b := range files {
		f := &file{seen: true}
		f.parse(name, b)
		s.probe.files[name], s.roles[name] = f, roleFound
	}
}

func mayHold(name string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name))) || name == "cacerts"
}

// elsewhere says that a link leads to what is told already: authorities of the
// distribution, anchors, another name in the same folder.
func (s *search) elsewhere(dir, name string) bool {
	target, err := s.host.Readlink(name)
	if err != nil {
		return true // gone
	}
	if !path.IsAbs(target) {
		target = path.Join(dir, target)
	}
	if path.Dir(target) == dir {
		_, err := s.host.Stat(name)
		return err == nil || probe.Absent(err) // else it leads round in a loop
	}
	return strings.HasPrefix(target, "/usr/share/") || strings.HasPrefix(target, "/etc/pki/ca-trust/") ||
		strings.HasPrefix(target, "/var/lib/ca-certificates/") || slices.ContainsFunc(anchors, func(a string) bool { return strings.HasPrefix(target, a+"/") })
}
