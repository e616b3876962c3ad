// Package enroll decides who belongs to the fleet. It is the collector's CA: it
// makes enrolment tokens, issues the certificates of hosts and of the collector
// itself, and knows which keys are revoked.
//
// Invariants: a token gives at most one host; it is consumed in the transaction that
// records the host and its key; a key that was revoked stays so, even when an older
// backup of the state is restored. The package starts no goroutine. The exchange on
// the wire is described in docs/protocol.md.
package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// The files in the collector's data folder.
const (
	caKeyFile   = "ca.key"
	caCertFile  = "ca.pem"
	resetFile   = "reset.key"
	revokedFile = "revoked"
)

// The tables. Keys are SHA-256 hashes, values JSON.
const (
	tableTokens = "enroll.tokens" // hash of the secret -> tokenRecord
	tableKeys   = "enroll.keys"   // hash of the public key -> keyRecord
)

// defaultLifetime is the longest that a certificate may live: a stolen one is worth
// a week at most, and an agent that is off for a weekend renews in peace.
const defaultLifetime = 7 * 24 * time.Hour

// Store is what this package needs of *store.Store.
type Store interface {
	View(func(*store.Tx) error) error
	Update(func(*store.Tx) error) error
	UpdateTogether(func(*store.Tx) error) error
}

// Config says where the authority lives.
type Config struct {
	Dir      string // the collector's data folder
	Store    Store
	Address  string           // of the collector, host:port, put into tokens that name no other
	Lifetime time.Duration    // of certificates; 0: 7 days, the most
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
}

// Authority is an open CA. Its methods may be called from any goroutine.
type Authority struct {
	c     Config
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	pin   [32]byte // KeyHash of the CA, for tokens
	reset [32]byte

	revoked *revokedList

	mu       sync.Mutex // guards what follows
	server   *tls.Certificate
	onRevoke func(identity.HostID)
	onMove   func(identity.HostID)
	isOnline func(identity.HostID) bool
	// revokedHosts is what RevokedHosts found; nil: it looks again.
	revokedHosts map[identity.HostID]time.Time
}

// OpenAuthority opens the CA in the folder, and makes it when the collector is new.
// When the state knows hosts but the CA's key is gone it refuses: with another CA
// every host would have to enrol again.
func OpenAuthority(ctx context.Context, c Config) (*Authority, error) {
	if c.Lifetime <= 0 || c.Lifetime > defaultLifetime {
		c.Lifetime = defaultLifetime
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Authority{c: c}
	if err := a.openCA(); err != nil {
		return nil, fmt.Errorf("open the collector's CA: %w", err)
	}
	var err error
	if a.pin, err = identity.KeyHash(a.cert.PublicKey); err != nil {
		return nil, err
	}
	if a.reset, err = openResetKey(filepath.Join(c.Dir, resetFile)); err != nil {
		return nil, err
	}
	if a.revoked, err = openRevokedList(filepath.Join(c.Dir, revokedFile)); err != nil {
		return nil, err
	}
	if err := a.mergeRevoked(); err != nil {
		return nil, fmt.Errorf("compare revoked keys with the state: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a, nil
}

// openCA loads or makes key and certificate. The key is written first: from it the
// certificate can be made again, and it is what hosts trust.
func (a *Authority) openCA() error {
	keyPath, certPath := filepath.Join(a.c.Dir, caKeyFile), filepath.Join(a.c.Dir, caCertFile)
	key, err := identity.LoadKey(keyPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := a.mayMakeKey(keyPath, certPath); err != nil {
			return err
		}
		if key, err = identity.LoadOrMakeKey(keyPath); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("%w; restore the file from its backup", err)
	}
	a.key = key
	certs, err := identity.LoadCertificates(certPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a.makeCA(certPath)
	case err != nil:
		return fmt.Errorf("%w; remove the file, it is made again from the key", err)
	case !key.PublicKey.Equal(certs[0].PublicKey):
		return fmt.Errorf("%q and %q do not belong together: restore both from one backup", keyPath, certPath)
	}
	a.cert = certs[0]
	return nil
}

func (a *Authority) mayMakeKey(keyPath, certPath string) error {
	if _, err := os.Stat(certPath); err == nil {
		return fmt.Errorf("%q is missing beside %q: restore it from its backup", keyPath, certPath)
	}
	return a.c.Store.View(func(tx *store.Tx) error {
		return tx.Table(tableKeys).Scan(nil, func(_, _ []byte) error {
			return fmt.Errorf("%q is missing, but hosts are enrolled: restore it from its backup", keyPath)
		})
	})
}

// openResetKey loads or makes the key of QUIC's stateless resets. It persists so that
// agents notice a restarted collector at once (RFC 9000 section 10.3).
func openResetKey(path string) ([32]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return [32]byte(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return [32]byte{}, fmt.Errorf("read reset key: %w", err)
	}
	var key [32]byte
	rand.Read(key[:]) // never fails, see crypto/rand
	return key, identity.WriteFile(path, key[:])
}

// ResetKey is QUIC's stateless reset key; it stays the same over restarts.
func (a *Authority) ResetKey() [32]byte { return a.reset }

// TokenKey is the key of QUIC's address validation tokens. It is derived from the
// reset key, so it stays the same too.
func (a *Authority) TokenKey() [32]byte {
	mac := hmac.New(sha256.New, a.reset[:])
	mac.Write([]byte("atalaya address token"))
	return [32]byte(mac.Sum(nil))
}

// Certificate is the CA's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// TLS is the configuration of the listener for agents, sessions and enrolment both.
func (a *Authority) TLS() *tls.Config {
	return identity.Collector{
		Session:     wire.ALPN,
		Enroll:      wire.ALPNEnroll,
		CAs:         []*x509.Certificate{a.cert},
		Certificate: a.serverCertificate,
		Now:         a.c.Now,
	}.TLS()
}

// serverCertificate returns the collector's own certificate. It is kept in memory
// only and made anew, key and all, at two thirds of its life.
func (a *Authority) serverCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.c.Now(); a.server != nil && now.Before(identity.RenewAt(a.server.Leaf)) && !now.Before(a.server.Leaf.NotBefore) {
		return a.server, nil
	}
	key, err := identity.NewKey()
	if err != nil {
		return nil, fmt.Errorf("make the collector's key: %w", err)
	}
	leaf, err := a.issue(&x509.Certificate{
		DNSNames:    []string{identity.ServerName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	a.server = &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
	return a.server, nil
}
