package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-certificates", New())
}

// issue makes a certificate that signs itself.
func issue(t testing.TB, name string, ca bool) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2026, 4, 2, 3, 4, 5, 0, time.UTC),
		DNSNames: []string{name, "a." + name}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func TestFormsOfFiles(t *testing.T) {
	der := issue(t, "web.example", false)
	want := &facts.CertificateRow{
		Subject: "CN=web.example", Issuer: "CN=web.example", Serial: "1267", SHA256: fingerprint(der),
		NotBefore: facts.TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), NotAfter: facts.TimeOf(time.Date(2026, 4, 2, 3, 4, 5, 0, time.UTC)),
		KeyType: "ed25519", KeyBits: 256, Signature: "Ed25519", Names: []string{"192.0.2.1", "a.web.example", "web.example"}, SelfSigned: true,
	}
	cert := block("CERTIFICATE", der)
	key := block("PRIVATE KEY", []byte("not to be looked at"))
	store := binary.BigEndian.AppendUint32(nil, 0xFEEDFEED)
	store = append(store, 0, 0, 0, 2, 0, 0, 0, 2) // version, count
	x509Type := append([]byte{0, 5}, "X.509"...)
	length := binary.BigEndian.AppendUint32(nil, uint32(len(der)))
	tail := slices.Concat(x509Type, length, der)
	store = append(store, 0, 0, 0, 2, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0) // trusted
	store = append(store, tail...)
	store = append(store, 0, 0, 0, 1, 0, 1, 'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 'k', 'e', 'y', 0, 0, 0, 1) // a key with one certificate
	store = append(store, tail...)
	f := func(name string, in []byte, count int) {
		t.Helper()
		got := Parse(in)
		if len(got) != count {
			t.Errorf("%s: got %d certificates, want %d", name, len(got), count)
			return
		}
		for i, row := range got {
			w := *want
			w.Position = i
			if d := cmp.Diff(&w, row); d != "" {
				t.Errorf("%s: certificate %d: -want +got\n%s", name, i, d)
			}
		}
	}
	f("DER", der, 1)
	f("PEM", []byte(cert), 1)
	f("text before and after", []byte("Certificate:\n  Data\n"+cert+"more"), 1)
	f("no newline", []byte(strings.TrimSpace(cert)), 1)
	f("key first", []byte(key+cert), 1)
	f("key cut off", []byte(key[:30]+"\n"+cert), 1)
	f("chain", []byte(cert+key+cert), 2)
	f("cut off, then whole", []byte(cert[:100]+cert), 1)
	f("trusted", []byte(block("TRUSTED CERTIFICATE", append(slices.Clone(der), 0x30, 0))), 1)
	f("windows", []byte(strings.ReplaceAll(cert, "\n", "\r\n")), 1)
	f("key store", store, 2)
	f("key", []byte(key), 0)
	f("request", []byte(block("CERTIFICATE REQUEST", der)), 0)
	f("empty", nil, 0)
}

func TestMalformedCertificateHasItsFingerprint(t *testing.T) {
	got := Parse([]byte(block("CERTIFICATE", []byte{0x30, 0x03, 0x02, 0x01, 0x01})))
	if len(got) != 1 || got[0].Subject != "" || got[0].SHA256 == "" {
		t.Errorf("got %+v", got)
	}
}

func TestDamagedFilesDoNotPanic(t *testing.T) {
	der := issue(t, "web.example", false)
	for _, cut := range probetest.Cuts(der) {
		Parse(cut)
	}
	for name, damage := range probetest.Damages() {
		if got := Parse(damage([]byte(block("CERTIFICATE", der)))); len(got) > maxCerts {
			t.Errorf("%s: %d certificates", name, len(got))
		}
	}
}

func TestKeyTypes(t *testing.T) {
	f := func(public any, want string) {
		t.Helper()
		if kind, bits := key(public); fmt.Sprint(kind, bits) != want {
			t.Errorf("got %s %d, want %s", kind, bits, want)
		}
	}
	f(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047)}, "rsa2048")
	f(&ecdsa.PublicKey{Curve: elliptic.P384()}, "ecdsa384")
	f(nil, "0")
}

// trust is a host with authorities of the distribution, of its administrator, and one
// that somebody wrote into the bundle.
func trust(t *testing.T) (root string, files map[string]string) {
	distribution, local, hidden := block("CERTIFICATE", issue(t, "distribution", true)), block("CERTIFICATE", issue(t, "local", true)), block("CERTIFICATE", issue(t, "hidden", true))
	web := block("CERTIFICATE", issue(t, "web.example", false))
	files = map[string]string{
		"usr/share/ca-certificates/mozilla/D.crt":    distribution,
		"usr/local/share/ca-certificates/local.crt":  local,
		"etc/ssl/certs/ca-certificates.crt":          distribution + local + hidden,
		"etc/ssl/certs/D.pem":                        "-> /usr/share/ca-certificates/mozilla/D.crt",
		"etc/ssl/certs/local.pem":                    "-> /usr/local/share/ca-certificates/local.crt",
		"etc/ssl/certs/0a1b2c3d.0":                   "-> D.pem",
		"etc/letsencrypt/archive/web/fullchain1.pem": web,
		"etc/letsencrypt/live/web/fullchain.pem":     "-> ../../archive/web/fullchain1.pem",
		"etc/nginx/sites-enabled/web":                "server {\n  # ssl_certificate /old.pem;\n  ssl_certificate /etc/letsencrypt/live/web/fullchain.pem;\n  ssl_certificate_key /srv/key.pem;\n}\n",
		"srv/key.pem":                                block("PRIVATE KEY", []byte("x")),
		"srv/tls/app.crt":                            web,
		"proc/1/comm":                                "systemd\n",
		"proc/70/comm":                               "app\n",
		"proc/70/cmdline":                            "/usr/bin/app\x00--tls-cert=/srv/tls/app.crt\x00--password=x.pem\x00",
		"srv/tls/held.pem":                           web,
		"srv/tls/shown.pem":                          web,
		"proc/70/fd/3":                               "-> socket:[4711]",
		"proc/70/fd/4":                               "-> /srv/tls/held.pem",
		"proc/71/comm":                               "vi\n",
		"proc/71/cmdline":                            "vi\x00",
		"proc/71/fd/3":                               "-> /srv/tls/shown.pem",
		"etc/openvpn/server/vpn.conf":                "cert vpn.crt\n",
		"etc/openvpn/server/vpn.crt":                 web,
		"etc/ssl/private/":                           "",
	}
	return probetest.Tree(t, files), files
}

func TestWhatIsTrustedAndUsed(t *testing.T) {
	root, _ := trust(t)
	s := probetest.Sections(probe.RootHost(root), New())["certificates"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.CertificateRow)
		got = append(got, fmt.Sprint(r.Path, " ", r.Position, " ", r.Role, " ", r.Subject, " ", r.Count, " ", r.UsedBy))
	}
	want := []string{
		"/etc/letsencrypt/live/web/fullchain.pem 0 found CN=web.example 0 [nginx]",
		"/etc/openvpn/server/vpn.crt 0 found CN=web.example 0 [openvpn]",
		"/etc/ssl/certs/ca-certificates.crt 0 bundle  3 []",
		"/etc/ssl/certs/ca-certificates.crt 1 anchor CN=hidden 0 []",
		"/srv/tls/app.crt 0 found CN=web.example 0 [app]",
		"/srv/tls/held.pem 0 found CN=web.example 0 [app]",
		"/usr/local/share/ca-certificates/local.crt 0 anchor CN=local 0 []",
	}
	if d := cmp.Diff(want, got); d != "" || s.Status != facts.StatusOK {
		t.Errorf("%v %s, -want +got:\n%s", s.Status, s.Reason, d)
	}
}

func TestFileIsParsedAgainWhenItChanged(t *testing.T) {
	root, _ := trust(t)
	p, h := New().(*certProbe), probe.RootHost(root)
	subject := func() string {
		r := probe.NewReport(nil, maxRows)
		if err := p.Collect(context.Background(), h, r); err != nil {
			t.Fatal(err)
		}
		return p.files["/srv/tls/app.crt"].certs[0].Subject
	}
	subject()
	first := p.files["/srv/tls/app.crt"]
	subject()
	if p.files["/srv/tls/app.crt"] != first {
		t.Error("an unchanged file was parsed again")
	}
	probetest.Write(t, root, "srv/tls/app.crt", []byte(block("CERTIFICATE", issue(t, "renewed.example", false))))
	if got := subject(); got != "CN=renewed.example" {
		t.Errorf("got %s after the renewal", got)
	}
}

func TestUnreadableFolderIsSaid(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("root may read every folder")
	}
	root, _ := trust(t)
	if err := os.Chmod(root+"/etc/ssl/private", 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(root+"/etc/ssl/private", 0o755)
	if s := probetest.Sections(probe.RootHost(root), New())["certificates"]; s.Status != facts.StatusPartial {
		t.Errorf("got %v %q, want partial", s.Status, s.Reason)
	}
}

func TestNoMachineIsUnsupported(t *testing.T) {
	if s := probetest.Sections(probe.RootHost(t.TempDir()), New())["certificates"]; s.Status != facts.StatusUnsupported {
		t.Errorf("got %v %q", s.Status, s.Reason)
	}
}

func TestNamedFiles(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		if got := named("/etc/x", []byte(in)); !slices.Equal(got, want) {
			t.Errorf("named(%q) = %q, want %q", in, got, want)
		}
	}
	f("SSLCertificateFile\t\"/a/b.crt\"\n", "/a/b.crt")
	f("ssl_cert = </etc/dovecot/server\n", "/etc/dovecot/server")
	f("smtpd_tls_cert_file=/etc/postfix/cert.pem\n", "/etc/postfix/cert.pem")
	f("bind :443 ssl crt /etc/haproxy/site.pem alpn h2\n", "/etc/haproxy/site.pem")
	f("    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt\n", "/etc/kubernetes/pki/apiserver.crt")
	f(`{"tlscert": "/etc/docker/cert.pem"}`, "/etc/docker/cert.pem")
	f("cert client.crt\nca ../ca.crt\n", "/etc/ca.crt", "/etc/x/client.crt")
	f("ssl_certificate /etc/$host.pem;\n# ssl_certificate /a.pem;\n; cert /b.pem\n")
	f("certificate\n")
	f("")
}

// TestSameAsOpenSSL compares every certificate of this machine.
func TestSameAsOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl(1) is not installed")
	}
	for _, row := range probetest.Sections(probe.LiveHost(), New())["certificates"].Rows {
		r := row.(*facts.CertificateRow)
		if r.Role == roleBundle || r.Position > 0 {
			continue
		}
		form := "PEM"
		if b, err := os.ReadFile(r.Path); err == nil && bytes.HasPrefix(b, []byte{0x30}) {
			form = "DER"
		}
		out, err := exec.Command(openssl, "x509", "-inform", form, "-in", r.Path, "-noout", "-fingerprint", "-sha256", "-enddate", "-dateopt", "iso_8601").Output()
		if err != nil {
			t.Errorf("%s: openssl: %v", r.Path, err)
			continue
		}
		sum, _ := hex.DecodeString(r.SHA256)
		want := strings.ToUpper(strings.TrimRight(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"), ":"))
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), r.NotAfter.Time().Format("2006-01-02 15:04:05Z")) {
			t.Errorf("%s: openssl says %s, we %s and %s", r.Path, out, want, r.NotAfter.Time())
		}
	}
}

func FuzzParse(f *testing.F) {
	der := issue(f, "web.example", true)
	f.Add(der)
	f.Add([]byte(block("CERTIFICATE", der)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END "))
	f.Add([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x7f\xff\xff\xff\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, row := range Parse(b) {
			if len(row.SHA256) != 64 {
				t.Errorf("got %+v", row)
			}
		}
		named("/etc", b)
		arguments(b)
	})
}

func BenchmarkFirstReading(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		probe.RunOnce(b.Context(), probe.LiveHost(), New())
	}
}

func BenchmarkUnchanged(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}

func TestACertificateThatBeginsWith1970IsKnownToBegin(t *testing.T) {
	for at, want := range map[time.Time]facts.Time{time.Unix(0, 0): 1, time.Unix(1, 0): 1000, time.Unix(-1, 0): -1000} {
		if got := moment(at); got != want {
			t.Errorf("%v is %d, want %d", at, got, want)
		}
	}
}
