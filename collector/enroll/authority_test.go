package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

func TestAuthorityKeepsItsKeysOverRestarts(t *testing.T) {
	s := newSite(t)
	pin, reset, token, ca := s.pin, s.ResetKey(), s.TokenKey(), s.Certificate()
	s.restart()
	if s.pin != pin || s.ResetKey() != reset || s.TokenKey() != token || token == reset || !s.Certificate().Equal(ca) {
		t.Error("a restart changed the CA or the reset key")
	}
	if got := ca.NotAfter.Sub(s.now); got != caLifetime {
		t.Errorf("the CA lives %s", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, name := range []string{caKeyFile, resetFile} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAuthorityHealsWhatCanBeMadeAgain(t *testing.T) {
	s := newSite(t)
	pin := s.pin
	for _, name := range []string{caCertFile, resetFile} { // as after a kill between two files
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
		s.restart()
		if s.pin != pin {
			t.Errorf("without %s it became another CA", name)
		}
	}
}

func TestAuthorityNeverReplacesALostKey(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.credentials(s.ask(s.secret(TokenOptions{}), key), key)
	damage := func(name string, content *string) {
		t.Helper()
		path := filepath.Join(s.dir, name)
		var err error
		if content == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, []byte(*content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wantError := func(what, want string) {
		t.Helper()
		if _, err := s.open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	noise := "x"
	damage(caKeyFile, &noise)
	wantError("damaged key", "restore the file from its backup")
	if err := identity.SaveKey(filepath.Join(s.dir, caKeyFile), newKey(t)); err != nil {
		t.Fatal(err)
	}
	wantError("another key", "do not belong together")
	damage(caKeyFile, nil)
	wantError("no key", "is missing beside")
	damage(caCertFile, nil)
	wantError("neither", "hosts are enrolled")
	damage(revokedFile, &noise)
	if err := identity.SaveKey(filepath.Join(s.dir, caKeyFile), s.key); err != nil {
		t.Fatal(err)
	}
	wantError("damaged list", "revoked:1: want time, host id and key hash")
}

func TestServerCertificateIsRenewedInTime(t *testing.T) {
	s := newSite(t)
	first, err := s.serverCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(4 * 24 * time.Hour)
	if again, err := s.serverCertificate(); err != nil || again != first {
		t.Errorf("renewed early: %v", err)
	}
	s.now = s.now.Add(24 * time.Hour)
	second, err := s.serverCertificate()
	if err != nil || second == first {
		t.Fatalf("not renewed at two thirds: %v", err)
	}
	if !second.Leaf.NotAfter.Equal(s.now.Add(defaultLifetime)) {
		t.Errorf("until %s", second.Leaf.NotAfter)
	}
}

// TestEnrolledHostGetsASession runs both TLS sides over a pipe: enrolment by the pin
// of a token, then a mutual session.
func TestEnrolledHostGetsASession(t *testing.T) {
	s := newSite(t)
	clock := func() time.Time { return s.now }
	text, _, err := s.CreateToken(context.Background(), TokenOptions{Address: "[2001:db8::1]:7443"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.ParseToken(text)
	if err != nil || token.Address != "[2001:db8::1]:7443" {
		t.Fatalf("token %+v, %v", token, err)
	}
	connect(t, identity.EnrollTLS(token.CAPin, wire.ALPNEnroll, clock), s.TLS())
	key := newKey(t)
	c := s.credentials(s.ask(token.Secret[:], key), key)
	state := connect(t, c.TLS(wire.ALPN, clock), s.TLS())
	if _, code, reason := s.Verify(state.PeerCertificates[0]); code != wire.CodeNone {
		t.Errorf("Verify: %d %s", code, reason)
	}
}

func connect(t *testing.T, host, collector *tls.Config) tls.ConnectionState {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client, server := tls.Client(a, host), tls.Server(b, collector)
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	err := server.Handshake()
	if err != nil {
		b.Close()
	}
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	return server.ConnectionState()
}

func TestTokenOptionsAreChecked(t *testing.T) {
	s := newSite(t)
	for _, o := range []TokenOptions{
		{TTL: -time.Second}, {TTL: 31 * 24 * time.Hour}, {Address: "collector"}, {Address: ":7443"}, {Note: strings.Repeat("x", maxNote+1)},
	} {
		if _, _, err := s.CreateToken(context.Background(), o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestOldTokensAreForgotten(t *testing.T) {
	s := newSite(t)
	s.secret(TokenOptions{Note: "old"})
	s.now = s.now.Add(defaultTTL + keepTokens - time.Minute)
	s.secret(TokenOptions{Note: "middle"})
	s.now = s.now.Add(2 * time.Minute)
	s.secret(TokenOptions{Note: "new"})
	tokens, err := s.ListTokens(context.Background())
	if err != nil || len(tokens) != 2 || tokens[0].Note != "new" || tokens[1].Note != "middle" {
		t.Errorf("got %+v, %v", tokens, err)
	}
}

func TestSecretsAreNotInTheState(t *testing.T) {
	s := newSite(t)
	secret := s.secret(TokenOptions{})
	err := s.store.View(func(tx *store.Tx) error {
		return tx.Table(tableTokens).Scan(nil, func(k, v []byte) error {
			if strings.Contains(string(k)+string(v), string(secret)) {
				t.Error("the secret is in the state")
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
