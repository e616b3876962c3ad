package probe

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "  a  b ": "  a  b ",
		"mkdir -p /srv/a && ls -u":                         "mkdir -p /srv/a && ls -u",
		"app --password hunter2 --verbose":                 "app --password *** --verbose",
		"app --password=hunter2 -v":                        "app --password=*** -v",
		`app --password="a b" -v`:                          "app --password=*** -v",
		"app -password hunter2":                            "app -password ***",
		"PGPASSWORD=x psql -h db -U me":                    "PGPASSWORD=*** psql -h db -U me",
		`sh -c "PGPASSWORD=x psql -h db"`:                  `sh -c "PGPASSWORD=*** psql -h db"`,
		"PWD=/root run":                                    "PWD=/root run",
		"curl -u me:pw https://h/":                         "curl -u *** https://h/",
		"curl https://me:pw@h/p":                           "curl https://me:***@h/p",
		"curl https://me:p@w@h/p":                          "curl https://me:***@h/p",
		"curl 'https://h/x?a=1&token=abc&b=2'":             "curl 'https://h/x?a=1&token=***",
		`curl -H "Authorization: Bearer abcdef" https://h`: `curl -H "Authorization: *** ***" https://h`,
		"curl -H Authorization:xyz":                        "curl -H Authorization:***",
		"x Bearer abcdef":                                  "x Bearer ***",
		`x {"password":"pw","a":1}`:                        `x {"password":***`,
		`x '{"password": "pw"}'`:                           `x '{"password": ***'`,
		"mysqldump -uroot -ppw db":                         "mysqldump -uroot -p*** db",
		"mysql -p db":                                      "mysql -p db",
		"/usr/bin/redis-cli -a pw ping":                    "/usr/bin/redis-cli -a *** ping",
		"sshpass -p pw ssh -p 22 h":                        "sshpass -p *** ssh -p 22 h",
		"aws configure set x AKIAIOSFODNN7EXAMPLE":         "aws configure set x ***",
		"git clone https://ghp_abcdefghijklmnopqrstuv@h":   "git clone https://***@h",
		"openssl enc -pass pass:abc -passin file:/x":       "openssl enc -pass *** -passin ***",
		"app --password-file /etc/pw --token-type jwt":     "app --password-file /etc/pw --token-type jwt",
		"app --password-stdin <x":                          "app --password-stdin <x",
		"docker run -v /run/secrets:/run/secrets:ro img":   "docker run -v /run/secrets:/run/secrets:ro img",
		"backup --bypass x":                                "backup --bypass x",
		"rsync -a rsync://h/mod /srv":                      "rsync -a rsync://h/mod /srv",
		"root=/dev/sda1 netroot=iscsi:u:pw@10.0.0.1::x:1":  "root=/dev/sda1 netroot=iscsi:***@10.0.0.1::x:1",
		"root=UUID=1-2 ro quiet rd.luks.name=a=b":          "root=UUID=1-2 ro quiet rd.luks.name=a=b",
		"a 'unclosed":                                      "a 'unclosed",
		"export AWS_SECRET_ACCESS_KEY=abc/def":             "export AWS_SECRET_ACCESS_KEY=***",
		"x --client-secret\x00abc\x00y":                    "x --client-secret\x00***\x00y",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q)\n got  %q\n want %q", in, got, want)
		}
	}
}

// TestMaskOfProgramsByTheirManuals has a line for each program that takes a secret by a letter
// or by its place.
func TestMaskOfProgramsByTheirManuals(t *testing.T) {
	for in, want := range map[string]string{
		"ssh-keygen -t ed25519 -N x1 -f /k":                    "ssh-keygen -t ed25519 -N *** -f /k",
		"ssh-keygen -p -P x1 -N x2 -f /k":                      "ssh-keygen -p -P *** -N *** -f /k",
		"ssh-keygen -qNx1 -f /k":                               "ssh-keygen -qN*** -f /k",
		"ssh-keygen -lf /k -E sha256":                          "ssh-keygen -lf /k -E sha256",
		"ipa-server-install -U -r R -p x1 -a x2 -n d":          "ipa-server-install -U -r R -p *** -a *** -n d",
		"ipa-client-install -p admin -w x1 -U":                 "ipa-client-install -p admin -w *** -U",
		"ipa-replica-install -w x1 -P admin":                   "ipa-replica-install -w *** -P admin",
		"dsconf -D cn=manager -w x1 ldap://h backend list":     "dsconf -D cn=manager -w *** ldap://h backend list",
		"doctl auth init -t x1":                                "doctl auth init -t ***",
		"doctl compute droplet list -o json":                   "doctl compute droplet list -o json",
		"grafana-cli admin reset-admin-password x1":            "grafana-cli admin reset-admin-password ***",
		"grafana cli admin reset-admin-password x1":            "grafana cli admin reset-admin-password ***",
		"grafana-cli plugins install clock":                    "grafana-cli plugins install clock",
		"mkpasswd x1":                                          "mkpasswd ***",
		"mkpasswd -m sha-512 x1":                               "mkpasswd -m sha-512 ***",
		`expect -c 'spawn ssh h; expect word:; send "x1\r"' y`: `expect -c *** y`,
		"expect -f /usr/lib/login.exp h":                       "expect -f /usr/lib/login.exp h",
		"nsupdate -y hmac-sha256:k:x1 -v":                      "nsupdate -y *** -v",
		"dig -t axfr -y k:x1 @h z":                             "dig -t axfr -y *** @h z",
		"dig +short -x 192.0.2.1":                              "dig +short -x 192.0.2.1",
		"mosquitto_passwd -b /f u x1":                          "mosquitto_passwd -b /f u ***",
		"ejabberdctl register u h x1":                          "ejabberdctl register u h ***",
		"prosodyctl register u h x1":                           "prosodyctl register u h ***",
		"pihole -a -p x1":                                      "pihole -a -p ***",
		"nodetool -u u -pw x1 status":                          "nodetool -u u -pw *** status",
		"odoo -r u -w x1 -d db":                                "odoo -r u -w *** -d db",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q)\n got  %q\n want %q", in, got, want)
		}
	}
	if got, want := MaskArgs([]string{"expect", "-c", `send "x1 x2\r"; send x3`, "y"}), "expect -c *** y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMaskArgs(t *testing.T) {
	for want, in := range map[string][]string{
		"app --password=*** x":           {"app", "--password=a b", "x"},
		"app --password *** x":           {"app", "--password", "a b", "x"},
		"sh -c PGPASSWORD=*** psql -l":   {"sh", "-c", "PGPASSWORD=x psql -l"},
		"curl -H Authorization: *** ***": {"curl", "-H", "Authorization: Bearer x"},
		"":                               nil,
	} {
		if got := MaskArgs(in); got != want {
			t.Errorf("MaskArgs(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add(`app --password "x y" https://u:p@h 'a`)
	f.Add("mysql -px \\\" : = '")
	f.Fuzz(func(t *testing.T, s string) {
		Mask(s)
		MaskArgs(strings.Split(s, "\x00"))
		const secret = "S3cr3tValue"
		if strings.ContainsAny(s, `"'\`) { // a quote that it opens may hold the option
			return
		}
		for _, with := range []string{" --password ", " --token=", " DB_PASSWORD=", " https://u:"} {
			line := s + with + secret
			if with == " https://u:" {
				line += "@host"
			}
			if got := Mask(line); strings.Contains(got, secret) {
				t.Errorf("Mask(%q) = %q", line, got)
			}
		}
	})
}

func BenchmarkMask(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Mask("/usr/lib/jvm/java-17/bin/java -Xmx2g -Dfile.encoding=UTF-8 -cp /opt/app/lib/a.jar:/opt/app/lib/b.jar com.example.Main --port 8080")
	}
}
