package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// exchange makes a certificate with another element at a place of its first part, 0 of
// which is the version.
func exchange(t testing.TB, der []byte, at int, with []byte) []byte {
	t.Helper()
	outer := elements(der)
	tbs := elements(outer[0])
	tbs[at] = with
	first := element(asn1.TagSequence, true, bytes.Join(tbs, nil))
	return element(asn1.TagSequence, true, slices.Concat(first, outer[1], outer[2]))
}

// publicKey is a SubjectPublicKeyInfo.
func publicKey(t testing.TB, algorithm, parameters string, value []byte) []byte {
	t.Helper()
	b := func(s string) []byte {
		out, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	bits := element(asn1.TagBitString, false, append([]byte{0}, value...))
	return element(asn1.TagSequence, true, slices.Concat(element(asn1.TagSequence, true, append(b(algorithm), b(parameters)...)), bits))
}

const (
	number, ecNumber   = "06092a864886f70d01010a", "06072a8648ce3d0201"
	brainpool256       = "06092b2403030208010107"
	ed448              = "06032b6571"
	subjectKeyPosition = 6
)

func TestKeysThatTheLibraryDoesNotKnow(t *testing.T) {
	der := issue(t, "web.example", false)
	modulus := append([]byte{2, 0x81, 129, 0, 0xC0}, make([]byte, 127)...)
	f := func(name string, key []byte, kind string, bits int) {
		t.Helper()
		form := exchange(t, der, subjectKeyPosition, key)
		for _, in := range [][]byte{form, []byte(block("CERTIFICATE", form))} {
			want := describe(der)
			want.SHA256, want.KeyType, want.KeyBits = fingerprint(form), kind, bits
			if diff := cmp.Diff([]*facts.CertificateRow{want}, Parse(in)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
	}
	f("brainpool", publicKey(t, ecNumber, brainpool256, append([]byte{4}, make([]byte, 64)...)), "ecdsa", 256)
	f("unknown curve", publicKey(t, ecNumber, "06032a0304", append([]byte{4}, make([]byte, 64)...)), "ecdsa", 0)
	f("PSS", publicKey(t, number, "", element(asn1.TagSequence, true, append(modulus, 2, 1, 3))), "rsapss", 1024)
	f("Ed448", publicKey(t, ed448, "", make([]byte, 57)), "ed448", 456)
	f("unknown", publicKey(t, "06032a0304", "", []byte{1}), "1.2.3.4", 0)
	f("damaged RSA", publicKey(t, "06092a864886f70d010101", "0500", []byte{1}), "1.2.840.113549.1.1.1", 0)
}

func TestSignaturesThatTheLibraryDoesNotKnow(t *testing.T) {
	der := issue(t, "web.example", false)
	for number, want := range map[string]string{"06032b6571": "Ed448", "06032a0304": "1.2.3.4", "06092a864886f70d01010a": "RSAPSS"} {
		oid, _ := hex.DecodeString(number)
		id := element(asn1.TagSequence, true, oid)
		outer := elements(exchange(t, der, 2, id))
		form := element(asn1.TagSequence, true, slices.Concat(outer[0], id, outer[2]))
		if got := Parse([]byte(block("CERTIFICATE", form))); len(got) != 1 || got[0].Signature != want || got[0].Subject != "CN=web.example" {
			t.Errorf("%s: got %+v", want, got)
		}
	}
}

// TestExtensionsThatAreRefused: names and dates stand, whatever the extensions are.
func TestExtensionsThatAreRefused(t *testing.T) {
	der := issue(t, "web.example", true)
	form := exchange(t, exchange(t, der, 7, []byte{0xA3, 2, 0x30, 0}), 1, []byte{2, 1, 0x80})
	if _, err := x509.ParseCertificate(form); err == nil {
		t.Fatal("the library takes it")
	}
	got := Parse([]byte(block("CERTIFICATE", form)))
	if len(got) != 1 || got[0].Subject != "CN=web.example" || got[0].Serial != "80" || got[0].NotAfter != facts.TimeOf(time.Date(2026, 4, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("got %+v", got[0])
	}
}

// TestMalformedAndMissingAreNamed: what cannot be read of certificates is said, each file
// beside the others.
func TestMalformedAndMissingAreNamed(t *testing.T) {
	noise := strings.Repeat("\x8d\x11\xfe\x02noise\x00", 300)
	good := block("CERTIFICATE", issue(t, "web.example", false))
	f := func(name string, files map[string]string, want facts.Status, parts ...string) {
		t.Helper()
		s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["certificates"]
		if s.Status != want {
			t.Errorf("%s: %s %q, want %s", name, s.Status, s.Reason, want)
		}
		for _, part := range parts {
			if !strings.Contains(s.Reason, part) {
				t.Errorf("%s: %q does not tell of %q", name, s.Reason, part)
			}
		}
	}
	const store, other = "etc/ssl/certs/ca-certificates.crt", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
	f("damaged store", map[string]string{store: noise}, facts.StatusFailed, "/"+store)
	f("damaged store of another system", map[string]string{other: noise}, facts.StatusFailed, "/"+other)
	f("two damaged files", map[string]string{store: noise, "etc/nginx/a.crt": noise, "etc/nginx/b.crt": good}, facts.StatusPartial, "/"+store, "/etc/nginx/a.crt")
	f("malformed", map[string]string{"etc/nginx/a.pem": block("CERTIFICATE", []byte{0x30, 3, 2, 1, 1})}, facts.StatusPartial, "/etc/nginx/a.pem: 1 of 1 certificates are malformed")
	f("a key", map[string]string{"etc/nginx/a.pem": block("PRIVATE KEY", []byte("key")), "etc/nginx/b.der": "\x30\x03\x02\x01\x00", "etc/nginx/b.crt": good}, facts.StatusOK)
	f("missing", map[string]string{"etc/nginx/nginx.conf": "ssl_certificate /etc/nginx/gone.pem;\nssl_certificate b.crt;", "etc/nginx/b.crt": good}, facts.StatusOK,
		"nginx names /etc/nginx/gone.pem, which is not there")
	f("all missing", map[string]string{"etc/nginx/nginx.conf": "a cert a.pem cert b.pem cert c.pem cert d.pem\n"}, facts.StatusEmpty, "/etc/nginx/a.pem", "/etc/nginx/c.pem", "others")
}

func FuzzTolerant(f *testing.F) {
	der := issue(f, "web.example", true)
	f.Add(der)
	f.Add(exchange(f, der, subjectKeyPosition, publicKey(f, ecNumber, brainpool256, []byte{4, 1, 2})))
	f.Add(exchange(f, der, 7, []byte{0xA3, 2, 0x30, 0}))
	f.Add(publicKey(f, number, "", []byte{0x30, 2, 2, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		strict, err := x509.ParseCertificate(b)
		c, _ := parse(b)
		if err == nil && (c == nil || !c.NotAfter.Equal(strict.NotAfter)) {
			t.Errorf("the library takes what we do not")
		}
		if _, bits := otherKey(b); bits < 0 || bits > 8*len(b)+456 {
			t.Errorf("a key of %d bits in %d bytes", bits, len(b))
		}
	})
}
