package enroll

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"atalaya/shared/identity"
)

// Times of certificates. They begin in the past because the clocks of hosts are not
// the collector's.
const (
	leafBackdate = time.Hour
	caBackdate   = 24 * time.Hour
	caLifetime   = 10 * 365 * 24 * time.Hour
)

// makeCA makes the CA's certificate for a.key.
func (a *Authority) makeCA(path string) error {
	now := a.c.Now()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "Atalaya CA"},
		NotBefore:             now.Add(-caBackdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	return identity.SaveCertificates(path, a.cert)
}

// issue signs a certificate for the key with what the template says of names and use.
func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	now := a.c.Now()
	template.SerialNumber = newSerial()
	template.NotBefore, template.NotAfter = now.Add(-leafBackdate), now.Add(a.c.Lifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// issueHost signs a host's certificate. Nothing of the request but its key goes in.
func (a *Authority) issueHost(id identity.HostID, key crypto.PublicKey) (*x509.Certificate, error) {
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: id.String()},
		URIs:        []*url.URL{identity.HostURI(id)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
}

// newSerial returns 127 random bits: positive, and within RFC 5280's 20 bytes.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
