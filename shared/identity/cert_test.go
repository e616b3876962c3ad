package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// testCA is a CA with one server and one host, valid from start for a week.
type testCA struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	server tls.Certificate
	host   *Credentials
	id     HostID
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	ca := &testCA{key: newTestKey(t), id: NewHostID()}
	ca.cert = ca.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, ca.key)
	serverKey := newTestKey(t)
	server := ca.issue(t, &x509.Certificate{DNSNames: []string{ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, serverKey)
	ca.server = tls.Certificate{Certificate: [][]byte{server.Raw, ca.cert.Raw}, PrivateKey: serverKey}
	ca.host = &Credentials{Key: newTestKey(t), CAs: []*x509.Certificate{ca.cert}}
	ca.host.Certificate = ca.issue(t, &x509.Certificate{URIs: ca.uri(), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.host.Key)
	return ca
}

func (ca *testCA) uri() []*url.URL { return []*url.URL{HostURI(ca.id)} }

func newTestKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca *testCA) issue(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = start, start.Add(7*24*time.Hour)
	parent := ca.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// handshake connects both sides and returns the error of each and the host that the
// collector saw.
func handshake(t *testing.T, host, collector *tls.Config) (seen []*x509.Certificate, hostErr, collectorErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client, server := tls.Client(a, host), tls.Server(b, collector)
	done := make(chan error, 1)
	go func() {
		err := server.Handshake()
		if err == nil { // in TLS 1.3 the host only learns of a refusal when it reads
			_, err = server.Write([]byte("x"))
		} else {
			b.Close()
		}
		done <- err
	}()
	hostErr = client.Handshake()
	if hostErr == nil {
		_, hostErr = client.Read(make([]byte, 1))
	} else {
		a.Close()
	}
	collectorErr = <-done
	return server.ConnectionState().PeerCertificates, hostErr, collectorErr
}

func (ca *testCA) collector(now time.Time) *tls.Config {
	return Collector{
		Session: "session/1", Enroll: "enroll/1", CAs: []*x509.Certificate{ca.cert},
		Certificate: func() (*tls.Certificate, error) { return &ca.server, nil },
		Now:         func() time.Time { return now },
	}.TLS()
}

func TestSessionsAreMutual(t *testing.T) {
	ca, now := newTestCA(t), start.Add(time.Hour)
	clock := func() time.Time { return now }
	seen, hostErr, collectorErr := handshake(t, ca.host.TLS("session/1", clock), ca.collector(now))
	if hostErr != nil || collectorErr != nil {
		t.Fatalf("host: %v, collector: %v", hostErr, collectorErr)
	}
	if id, err := HostIDFromCert(seen[0]); err != nil || id != ca.id {
		t.Errorf("collector saw %v, %v, want %v", id, err, ca.id)
	}

	bare := ca.host.TLS("session/1", clock)
	bare.Certificates = nil
	if _, _, err := handshake(t, bare, ca.collector(now)); err == nil {
		t.Error("a host without certificate got a session")
	}
	both := bare.Clone()
	both.NextProtos = []string{"enroll/1", "session/1"}
	if _, _, err := handshake(t, both, ca.collector(now)); err == nil {
		t.Error("a host without certificate got a session by offering enrolment too")
	}
	stranger := newTestCA(t)
	if _, _, err := handshake(t, stranger.host.TLS("session/1", clock), ca.collector(now)); err == nil {
		t.Error("a host of another CA got a session")
	}
	if _, err, _ := handshake(t, ca.host.TLS("other/1", clock), ca.collector(now)); err == nil {
		t.Error("an unknown protocol was accepted")
	}
	// A host's certificate is no server's: hosts cannot pose as the collector.
	posing := ca.collector(now)
	posing.GetConfigForClient = nil
	posing.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{ca.host.Certificate.Raw, ca.cert.Raw}, PrivateKey: ca.host.Key}, nil
	}
	if _, err, _ := handshake(t, ca.host.TLS("session/1", clock), posing); err == nil {
		t.Error("a host passed for the collector")
	}
}

func TestEnrolmentTrustsThePinAlone(t *testing.T) {
	ca, now := newTestCA(t), start.Add(time.Hour)
	clock := func() time.Time { return now }
	pin, err := KeyHash(ca.cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if seen, hostErr, collectorErr := handshake(t, EnrollTLS(pin, "enroll/1", clock), ca.collector(now)); hostErr != nil || collectorErr != nil || len(seen) != 0 {
		t.Errorf("host: %v, collector: %v, certificates %d", hostErr, collectorErr, len(seen))
	}
	other := newTestCA(t)
	if _, err, _ := handshake(t, EnrollTLS(pin, "enroll/1", clock), other.collector(now)); err == nil || !strings.Contains(err.Error(), "another than the token says") {
		t.Errorf("another collector: %v", err)
	}
	// The right CA shown beside a leaf that it did not issue.
	mixed := other.collector(now)
	mixed.GetConfigForClient = nil
	mixed.NextProtos = []string{"enroll/1"}
	mixed.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{other.server.Certificate[0], ca.cert.Raw}, PrivateKey: other.server.PrivateKey}, nil
	}
	if _, err, _ := handshake(t, EnrollTLS(pin, "enroll/1", clock), mixed); err == nil {
		t.Error("a leaf of another CA was trusted")
	}
}

func TestWrongClockIsNamed(t *testing.T) {
	ca := newTestCA(t)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{start.Add(-3 * time.Hour), "is not valid yet: this clock or the collector's is wrong by at least 3h0m0s"},
		{start.Add(9 * 24 * time.Hour), "ended 48h0m0s ago"},
	} {
		_, hostErr, _ := handshake(t, ca.host.TLS("session/1", func() time.Time { return c.at }), ca.collector(start.Add(time.Hour)))
		if got := ExplainTLS(hostErr, c.at); got == nil || !strings.Contains(got.Error(), c.want) {
			t.Errorf("at %s: got %v, want %q", c.at, got, c.want)
		}
	}
	if err := CheckTime(ca.host.Certificate, "host's", start.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if err := ExplainTLS(nil, start); err != nil {
		t.Error(err)
	}
}

func TestCertificateIsRenewedAtTwoThirds(t *testing.T) {
	ca := newTestCA(t)
	if got, want := RenewAt(ca.host.Certificate), start.Add(7*24*time.Hour/3*2); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCredentialsSurviveTheirFiles(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	if _, err := LoadCredentials(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty folder: %v", err)
	}
	if err := ca.host.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := got.HostID(); err != nil || id != ca.id || !got.Key.Equal(ca.host.Key) {
		t.Errorf("got host %v, %v", id, err)
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(filepath.Join(dir, HostKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the key: %v, %v", info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}

	if err := SaveKey(filepath.Join(dir, HostKeyFile), newTestKey(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(dir); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := NewCredentials(ca.host.Key, ca.host.Certificate.Raw, [][]byte{newTestCA(t).cert.Raw}); err == nil {
		t.Error("a certificate of another CA was accepted")
	}
	if err := os.WriteFile(filepath.Join(dir, CAFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificates(filepath.Join(dir, CAFile)); err == nil {
		t.Error("a file without certificate was read")
	}
}

func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), HostKeyFile)
	first, err := LoadOrMakeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrMakeKey(path)
	if err != nil || !second.Equal(first) {
		t.Errorf("second call made another key: %v", err)
	}
	if err := os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrMakeKey(path); err == nil {
		t.Error("a damaged key was replaced in silence")
	}
}

func TestRequestNamesAnyHost(t *testing.T) {
	for _, name := range []string{"web1", "", strings.Repeat("ä", 300), "a\xffb"} {
		der, err := NewRequest(newTestKey(t), name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if req, err := x509.ParseCertificateRequest(der); err != nil || req.CheckSignature() != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
