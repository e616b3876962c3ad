package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// site is a collector's data folder with its clock, which outlives restarts.
type site struct {
	*Authority
	t     *testing.T
	dir   string
	store *store.Store
	fault *faultyStore
	now   time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	s.openStore()
	s.restart()
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) openStore() {
	s.t.Helper()
	var err error
	if s.store, err = store.Open(store.Config{Path: filepath.Join(s.dir, store.FileName), NoSync: true}); err != nil {
		s.t.Fatal(err)
	}
	s.fault = &faultyStore{Store: s.store}
}

// open opens the authority on what the folder holds.
func (s *site) open() (*Authority, error) {
	return OpenAuthority(context.Background(), Config{
		Dir: s.dir, Store: s.fault, Address: "collector.test:7443", Now: func() time.Time { return s.now },
	})
}

func (s *site) restart() {
	s.t.Helper()
	var err error
	if s.Authority, err = s.open(); err != nil {
		s.t.Fatal(err)
	}
}

// secret makes a token and returns what the agent sends of it.
func (s *site) secret(o TokenOptions) []byte {
	s.t.Helper()
	text, _, err := s.CreateToken(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Secret[:]
}

func (s *site) ask(secret []byte, key *ecdsa.PrivateKey) wire.EnrollReply {
	s.t.Helper()
	csr, err := identity.NewRequest(key, "web1")
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Enroll(context.Background(), wire.EnrollRequest{
		MinVersion: wire.MinVersion, MaxVersion: wire.Version, Token: secret, CSR: csr, Hostname: "web1",
	}, "192.0.2.1:999")
}

// credentials turns a reply into what the agent keeps; it fails on a refusal.
func (s *site) credentials(r wire.EnrollReply, key *ecdsa.PrivateKey) *identity.Credentials {
	s.t.Helper()
	if r.Code != wire.CodeNone {
		s.t.Fatalf("refused: %d %s", r.Code, r.Reason)
	}
	c, err := identity.NewCredentials(key, r.Certificate, r.CAs)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) hosts() (n int) {
	s.t.Helper()
	err := s.store.View(func(tx *store.Tx) error {
		return tx.Hosts(func(store.Host) error { n++; return nil })
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantCode(t *testing.T, r wire.EnrollReply, code wire.Code, reason string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Reason, reason) || len(r.Certificate) > 0 && code != wire.CodeNone {
		t.Errorf("got code %d %q with %d bytes of certificate, want %d %q", r.Code, r.Reason, len(r.Certificate), code, reason)
	}
}

func TestTokenGivesACertificateForAWeek(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	reply := s.ask(s.secret(TokenOptions{}), key)
	c := s.credentials(reply, key)
	id, err := c.HostID()
	if err != nil || id.String() != reply.HostID {
		t.Errorf("certificate is for %v, %v; reply says %s", id, err, reply.HostID)
	}
	if got := c.Certificate.URIs[0].String(); got != "atalaya:host:"+id.String() {
		t.Errorf("URI %q", got)
	}
	if !c.Certificate.NotBefore.Equal(s.now.Add(-time.Hour)) || !c.Certificate.NotAfter.Equal(s.now.Add(7*24*time.Hour)) {
		t.Errorf("valid from %s to %s", c.Certificate.NotBefore, c.Certificate.NotAfter)
	}
	if u := c.Certificate.ExtKeyUsage; len(u) != 1 || u[0] != x509.ExtKeyUsageClientAuth || c.Certificate.IsCA {
		t.Errorf("use %v, CA %v", u, c.Certificate.IsCA)
	}
	if got, code, reason := s.Verify(c.Certificate); got != id || code != wire.CodeNone {
		t.Errorf("Verify: %v, %d %s", got, code, reason)
	}
	if n := s.hosts(); n != 1 {
		t.Errorf("%d hosts", n)
	}
	tokens, err := s.ListTokens(context.Background())
	if err != nil || len(tokens) != 1 || tokens[0].State != TokenUsed || *tokens[0].Host != id || tokens[0].UsedBy == "" {
		t.Errorf("tokens: %+v, %v", tokens, err)
	}
}

func TestTwoHundredRedemptionsGiveOneCertificate(t *testing.T) {
	s := newSite(t)
	secret := s.secret(TokenOptions{})
	keys := make([]*ecdsa.PrivateKey, 200)
	for i := range keys {
		keys[i] = newKey(t)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		codes = map[wire.Code]int{}
	)
	for _, key := range keys {
		wg.Go(func() {
			r := s.ask(secret, key)
			mu.Lock()
			defer mu.Unlock()
			codes[r.Code]++
		})
	}
	wg.Wait()
	if codes[wire.CodeNone] != 1 || codes[wire.CodeTokenUsed] != 199 {
		t.Errorf("codes %v, want 1 certificate and 199 times used", codes)
	}
	if n := s.hosts(); n != 1 {
		t.Errorf("%d hosts", n)
	}
}

func TestLostReplyCostsNothing(t *testing.T) {
	s := newSite(t)
	secret, key := s.secret(TokenOptions{}), newKey(t)
	first := s.ask(secret, key)
	s.restart()
	s.now = s.now.Add(48 * time.Hour) // the token has ended, but this key used it
	second := s.ask(secret, key)
	s.credentials(second, key)
	if first.HostID != second.HostID || s.hosts() != 1 {
		t.Errorf("hosts %s and %s, %d in the store", first.HostID, second.HostID, s.hosts())
	}
	wantCode(t, s.ask(secret, newKey(t)), wire.CodeTokenUsed, "each host needs its own")
}

func TestRefusalsNameTheNextStep(t *testing.T) {
	s := newSite(t)
	wantCode(t, s.ask(make([]byte, 20), newKey(t)), wire.CodeTokenUnknown, "atalaya token create")
	wantCode(t, s.ask(nil, newKey(t)), wire.CodeNotEnrolled, "atalaya-agent enroll")

	expired := s.secret(TokenOptions{TTL: time.Hour})
	s.now = s.now.Add(time.Hour + time.Second)
	wantCode(t, s.ask(expired, newKey(t)), wire.CodeTokenExpired, "ended at 2026-11-22T13:00:00Z")

	text, token, err := s.CreateToken(context.Background(), TokenOptions{Note: "for db1"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.RevokeToken(context.Background(), token.ID); err != nil || got.State != TokenRevoked || got.Note != "for db1" {
		t.Errorf("RevokeToken: %+v, %v", got, err)
	}
	parsed, err := identity.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.ask(parsed.Secret[:], newKey(t)), wire.CodeTokenRevoked, "was revoked")
	if _, err := s.RevokeToken(context.Background(), "0123456789"); !errors.Is(err, ErrNoToken) {
		t.Errorf("unknown token: %v", err)
	}

	good := s.secret(TokenOptions{})
	csr, err := identity.NewRequest(newKey(t), "web1")
	if err != nil {
		t.Fatal(err)
	}
	csr[len(csr)-1] ^= 1
	request := wire.EnrollRequest{MinVersion: 1, MaxVersion: 1, Token: good, CSR: csr}
	wantCode(t, s.Enroll(context.Background(), request, ""), wire.CodeProtocol, "not signed by its key")
	request.CSR = []byte("x")
	wantCode(t, s.Enroll(context.Background(), request, ""), wire.CodeProtocol, "cannot be read")
	request.MinVersion, request.MaxVersion = 9, 12
	wantCode(t, s.Enroll(context.Background(), request, ""), wire.CodeVersion, "versions 9 to 12")
	if n := s.hosts(); n != 0 {
		t.Errorf("%d hosts after refusals", n)
	}
	key := newKey(t)
	s.credentials(s.ask(good, key), key) // refusals did not use the token up
}

func TestKeyRenewsEvenAfterItsCertificateEnded(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	first := s.ask(s.secret(TokenOptions{}), key)
	for _, pause := range []time.Duration{5 * 24 * time.Hour, 60 * 24 * time.Hour} {
		s.now = s.now.Add(pause)
		again := s.ask(nil, key)
		c := s.credentials(again, key)
		if again.HostID != first.HostID || !c.Certificate.NotAfter.After(s.now) {
			t.Errorf("after %s: host %s until %s", pause, again.HostID, c.Certificate.NotAfter)
		}
	}
	// A known key with a fresh token stays the same host and uses the token up.
	secret := s.secret(TokenOptions{})
	if again := s.ask(secret, key); again.HostID != first.HostID {
		t.Errorf("with a new token: %+v", again)
	}
	wantCode(t, s.ask(secret, newKey(t)), wire.CodeTokenUsed, "")
}

func TestRevocationIsAtOnceAndForEver(t *testing.T) {
	s := newSite(t)
	key, other := newKey(t), newKey(t)
	c := s.credentials(s.ask(s.secret(TokenOptions{}), key), key)
	s.credentials(s.ask(s.secret(TokenOptions{}), other), other)
	backup := s.backup()
	id, err := c.HostID()
	if err != nil {
		t.Fatal(err)
	}
	var told []identity.HostID
	s.OnRevoke(func(id identity.HostID) { told = append(told, id) })
	if err := s.RevokeHost(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0] != id {
		t.Errorf("told %v", told)
	}
	check := func(when string) {
		t.Helper()
		if _, code, reason := s.Verify(c.Certificate); code != wire.CodeRevoked || !strings.Contains(reason, "revoked") {
			t.Errorf("%s: Verify gives %d %q", when, code, reason)
		}
		wantCode(t, s.ask(nil, key), wire.CodeRevoked, "delete host.key")
		secret := s.secret(TokenOptions{})
		wantCode(t, s.ask(secret, key), wire.CodeRevoked, "delete host.key")
		fresh := newKey(t)
		s.credentials(s.ask(secret, fresh), fresh) // the refusal did not use the token up
		s.credentials(s.ask(nil, other), other)
	}
	check("at once")
	s.restart()
	check("after a restart")
	s.restore(backup)
	check("after restoring an older backup")
	if err := s.RevokeHost(context.Background(), identity.NewHostID()); !errors.Is(err, ErrNoHost) {
		t.Errorf("unknown host: %v", err)
	}
}

func (s *site) backup() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "backup")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(s.store.Backup(f), f.Close()); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) restore(path string) {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path, filepath.Join(s.dir, store.FileName)); err != nil {
		s.t.Fatal(err)
	}
	s.openStore()
	s.restart()
}

func TestVerifyRefusesWhatItDoesNotKnow(t *testing.T) {
	s, elsewhere := newSite(t), newSite(t)
	key := newKey(t)
	c := s.credentials(s.ask(s.secret(TokenOptions{}), key), key)
	if _, code, _ := elsewhere.Verify(c.Certificate); code != wire.CodeUnknownHost {
		t.Errorf("another collector's host: %d", code)
	}
	// A known key in a certificate for another host.
	forged, err := s.issueHost(identity.NewHostID(), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, code, _ := s.Verify(forged); code != wire.CodeUnknownHost {
		t.Errorf("another host's name: %d", code)
	}
	if _, code, _ := s.Verify(s.Certificate()); code != wire.CodeUnknownHost {
		t.Errorf("the CA itself: %d", code)
	}
}

// faultyStore is a store whose process dies at a chosen step of the next Update.
type faultyStore struct {
	Store
	at atomic.Int32 // a step
}

type step = int32

const (
	healthy step = iota
	beforeBegin
	beforeCommit
	afterCommit // the reply is lost
	diskFull
)

var errKilled = errors.New("killed")

// Update implements Store.
func (f *faultyStore) Update(fn func(*store.Tx) error) error {
	at := f.at.Swap(healthy)
	switch at {
	case beforeBegin:
		return errKilled
	case beforeCommit, diskFull:
		return f.Store.Update(func(tx *store.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			if at == diskFull {
				return store.ErrFull
			}
			return errKilled
		})
	case afterCommit:
		return errors.Join(f.Store.Update(fn), errKilled)
	}
	return f.Store.Update(fn)
}

// UpdateTogether implements Store.
func (f *faultyStore) UpdateTogether(fn func(*store.Tx) error) error { return f.Update(fn) }

func TestEnrolmentSurvivesAKillAtEveryStep(t *testing.T) {
	for at, want := range map[step]wire.Code{
		beforeBegin: wire.CodeInternal, beforeCommit: wire.CodeInternal, afterCommit: wire.CodeInternal, diskFull: wire.CodeStorage,
	} {
		s := newSite(t)
		secret, key := s.secret(TokenOptions{}), newKey(t)
		s.fault.at.Store(at)
		wantCode(t, s.ask(secret, key), want, "try again")
		recorded := at == afterCommit
		if got := s.hosts() == 1; got != recorded {
			t.Errorf("step %d: host recorded %v, want %v", at, got, recorded)
		}
		s.restart()
		if recorded {
			wantCode(t, s.ask(secret, newKey(t)), wire.CodeTokenUsed, "")
		}
		s.credentials(s.ask(secret, key), key)
		wantCode(t, s.ask(secret, newKey(t)), wire.CodeTokenUsed, "")
		if n := s.hosts(); n != 1 {
			t.Errorf("step %d: %d hosts", at, n)
		}
	}
}

func TestRevocationSurvivesAKillAtEveryStep(t *testing.T) {
	for _, at := range []step{beforeCommit, afterCommit, diskFull} {
		s := newSite(t)
		key := newKey(t)
		c := s.credentials(s.ask(s.secret(TokenOptions{}), key), key)
		id, err := c.HostID()
		if err != nil {
			t.Fatal(err)
		}
		s.fault.at.Store(at)
		if err := s.RevokeHost(context.Background(), id); err == nil {
			t.Errorf("step %d: no error", at)
		}
		s.restart()
		if _, code, _ := s.Verify(c.Certificate); code != wire.CodeRevoked {
			t.Errorf("step %d: Verify gives %d", at, code)
		}
	}
}

func TestManyTokensAreMadeAtOnceAndEachEnrolsOneHost(t *testing.T) {
	s := newSite(t)
	texts, tokens, err := s.CreateTokens(context.Background(), TokenOptions{}, 3)
	if err != nil || len(texts) != 3 || len(tokens) != 3 {
		t.Fatalf("%d texts, %d tokens, %v", len(texts), len(tokens), err)
	}
	for i, text := range texts {
		parsed, err := identity.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		key := newKey(t)
		s.credentials(s.ask(parsed.Secret[:], key), key)
		if s.hosts() != i+1 {
			t.Errorf("token %d: %d hosts", i, s.hosts())
		}
	}
	if _, _, err := s.CreateTokens(context.Background(), TokenOptions{}, maxTokens+1); !errors.Is(err, ErrInvalid) {
		t.Errorf("more tokens than may wait: %v", err)
	}
}
