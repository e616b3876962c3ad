package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// ServerName is the name that every collector's certificate carries. The collector
// is recognised by its CA, not by where it is: it may move.
const ServerName = "collector.atalaya"

// hostURI precedes the host id in the URI that a host's certificate carries.
const hostURI = "host:"

// HostURI returns the subject alternative name of a host's certificate,
// atalaya:host:<id>.
func HostURI(id HostID) *url.URL { return &url.URL{Scheme: "atalaya", Opaque: hostURI + id.String()} }

// HostIDFromCert returns the host that a certificate is for.
func HostIDFromCert(cert *x509.Certificate) (HostID, error) {
	for _, u := range cert.URIs {
		if id, ok := strings.CutPrefix(u.Opaque, hostURI); ok && u.Scheme == "atalaya" {
			return ParseHostID(id)
		}
	}
	return HostID{}, errors.New("the certificate names no host")
}

// KeyHash is the SHA-256 of a public key in PKIX form. The key is encoded anew, so
// that one key has one hash, however a certificate writes it.
func KeyHash(key crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// NewRequest returns a certificate request (PKCS #10, DER) for the key. The name
// tells people which machine asks; nobody relies on it.
func NewRequest(key *ecdsa.PrivateKey, hostname string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: commonName(hostname)},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// commonName cuts a name to the 64 characters that X.520 allows.
func commonName(name string) string {
	if r := []rune(strings.ToValidUTF8(name, "?")); len(r) > 64 {
		return string(r[:64])
	}
	return strings.ToValidUTF8(name, "?")
}

// RenewAt is when a certificate should be renewed: at two thirds of its life, which
// leaves the last third for a collector that is away.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}

// CheckTime says whether a certificate is valid now and, where it is not, which
// clock is how wrong. Whose names the owner: "collector's", "own".
func CheckTime(cert *x509.Certificate, whose string, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the %s certificate is not valid yet: this clock or the collector's is wrong by at least %s (it is %s here)",
			whose, cert.NotBefore.Sub(now).Round(time.Second), now.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("the %s certificate ended %s ago: it was not renewed, or this clock or the collector's is wrong (it is %s here)",
			whose, now.Sub(cert.NotAfter).Round(time.Second), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// ExplainTLS turns a refused server certificate into what an administrator can act
// on. Other errors, and nil, are returned as they are.
func ExplainTLS(err error, now time.Time) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if clock := CheckTime(invalid.Cert, "collector's", now); clock != nil {
			return fmt.Errorf("%w: %w", clock, err)
		}
	case errors.As(err, &unknown):
		return fmt.Errorf("this is another collector than the one this host enrolled with, or somebody is in between: %w", err)
	}
	return err
}
