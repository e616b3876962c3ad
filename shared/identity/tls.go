package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// The files of an enrolled host, in its state folder.
const (
	HostKeyFile  = "host.key"
	HostCertFile = "host.pem"
	CAFile       = "ca.pem"
)

// Credentials are what a host proves itself with, and whom it trusts.
type Credentials struct {
	Key         *ecdsa.PrivateKey
	Certificate *x509.Certificate
	CAs         []*x509.Certificate
}

// NewCredentials joins a key with the reply to its certificate request. It refuses a
// certificate that is for another key, names no host, or is not of one of the CAs.
func NewCredentials(key *ecdsa.PrivateKey, certificate []byte, cas [][]byte) (*Credentials, error) {
	c := &Credentials{Key: key}
	var err error
	if c.Certificate, err = x509.ParseCertificate(certificate); err != nil {
		return nil, fmt.Errorf("certificate from the collector: %w", err)
	}
	for _, der := range cas {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("CA from the collector: %w", err)
		}
		c.CAs = append(c.CAs, ca)
	}
	return c, c.check()
}

// LoadCredentials reads the files of an enrolled host. The error is fs.ErrNotExist
// (wrapped) when the host is not enrolled.
func LoadCredentials(dir string) (*Credentials, error) {
	certs, err := LoadCertificates(filepath.Join(dir, HostCertFile))
	if err != nil {
		return nil, err
	}
	c := &Credentials{Certificate: certs[0]}
	if c.Key, err = LoadKey(filepath.Join(dir, HostKeyFile)); err != nil {
		return nil, err
	}
	if c.CAs, err = LoadCertificates(filepath.Join(dir, CAFile)); err != nil {
		return nil, err
	}
	return c, c.check()
}

// Save writes the files of an enrolled host, the certificate last: with it the host
// counts as enrolled.
func (c *Credentials) Save(dir string) error {
	if err := SaveKey(filepath.Join(dir, HostKeyFile), c.Key); err != nil {
		return err
	}
	if err := SaveCertificates(filepath.Join(dir, CAFile), c.CAs...); err != nil {
		return err
	}
	return SaveCertificates(filepath.Join(dir, HostCertFile), c.Certificate)
}

func (c *Credentials) check() error {
	if !c.Key.PublicKey.Equal(c.Certificate.PublicKey) {
		return errors.New("the certificate is for another key: enrol again with a new token")
	}
	if _, err := c.HostID(); err != nil {
		return err
	}
	issued := func(ca *x509.Certificate) bool { return c.Certificate.CheckSignatureFrom(ca) == nil }
	if !slices.ContainsFunc(c.CAs, issued) {
		return errors.New("the certificate is not of the CA that came with it: enrol again with a new token")
	}
	return nil
}

// HostID returns the host's number.
func (c *Credentials) HostID() (HostID, error) { return HostIDFromCert(c.Certificate) }

// TLS returns the host's side of a connection: TLS 1.3, the collector verified
// against the host's CAs. On the session protocol the host shows its certificate;
// on the enrolment protocol nobody asks for it.
func (c *Credentials) TLS(alpn string, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		RootCAs:    pool(c.CAs),
		NextProtos: []string{alpn},
		Time:       now,
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{c.Certificate.Raw},
			PrivateKey:  c.Key,
			Leaf:        c.Certificate,
		}},
	}
}

// EnrollTLS returns the side of a host that knows of the collector only the hash of
// its CA's key, from a token.
func EnrollTLS(pin [32]byte, alpn string, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		NextProtos: []string{alpn},
		Time:       now,
		// crypto/tls can only verify against a CA it has. This CA comes with the
		// handshake, and verifyPinned does the whole verification once it matches the pin.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPinned(cs.PeerCertificates, pin, now())
		},
	}
}

// verifyPinned verifies the chain against the one CA in it whose key has the hash.
func verifyPinned(chain []*x509.Certificate, pin [32]byte, now time.Time) error {
	for _, ca := range chain {
		hash, err := KeyHash(ca.PublicKey)
		if err != nil || hash != pin || !ca.IsCA {
			continue
		}
		_, err = chain[0].Verify(x509.VerifyOptions{
			Roots:       pool([]*x509.Certificate{ca}),
			DNSName:     ServerName,
			KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			CurrentTime: now,
		})
		return err
	}
	return errors.New("the collector's CA is another than the token says: the token is for another collector, or somebody is in between")
}

// Collector is the collector's side of all connections.
type Collector struct {
	Session string // ALPN of sessions: hosts must show a certificate of CAs
	Enroll  string // ALPN of enrolment: nobody is asked for one
	CAs     []*x509.Certificate
	// Certificate returns the server's certificate with its CA behind it.
	Certificate func() (*tls.Certificate, error)
	Now         func() time.Time
}

// TLS returns the configuration of the listener, which serves both protocols: the
// one that is negotiated decides whether the host must prove itself. There are no
// session tickets, so every connection is verified whole.
func (c Collector) TLS() *tls.Config {
	base := func(alpn string) *tls.Config {
		return &tls.Config{
			MinVersion:             tls.VersionTLS13,
			NextProtos:             []string{alpn},
			SessionTicketsDisabled: true,
			Time:                   c.Now,
			GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate() },
		}
	}
	session, enroll := base(c.Session), base(c.Enroll)
	session.ClientAuth, session.ClientCAs = tls.RequireAndVerifyClientCert, pool(c.CAs)
	listener := base(c.Session)
	listener.NextProtos = []string{c.Session, c.Enroll}
	listener.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case slices.Contains(hello.SupportedProtos, c.Session):
			return session, nil
		case slices.Contains(hello.SupportedProtos, c.Enroll):
			return enroll, nil
		}
		return nil, fmt.Errorf("no common protocol: the host speaks %q", hello.SupportedProtos)
	}
	return listener
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}
