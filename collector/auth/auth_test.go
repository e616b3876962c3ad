package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory keeps the contract of Records: a transaction that fails leaves no trace.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
	fail error
}

type memoryTable map[string][]byte

func (t memoryTable) Get(key []byte) ([]byte, error) { return t[string(key)], nil }
func (t memoryTable) Put(key, value []byte) error {
	t[string(key)] = bytes.Clone(value)
	return nil
}
func (t memoryTable) Delete(key []byte) error { delete(t, string(key)); return nil }
func (t memoryTable) Scan(prefix []byte, fn func(k, v []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if !strings.HasPrefix(k, string(prefix)) {
			continue
		}
		if err := fn([]byte(k), t[k]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) View(fn func(Table) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	return fn(memoryTable(m.rows))
}

func (m *memory) Update(fn func(Table) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	draft := maps.Clone(m.rows)
	if draft == nil {
		draft = map[string][]byte{}
	}
	if err := fn(memoryTable(draft)); err != nil {
		return err
	}
	m.rows = draft
	return nil
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTokens() (*Tokens, *memory, *clock) {
	m := &memory{}
	c := &clock{at: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)}
	return NewTokens(m, c.now), m, c
}

func TestRolesGrantNoMoreThanTheTable(t *testing.T) {
	want := map[Role][]Permission{
		"":         {Public},
		"root":     {Public},
		Reader:     {Public, Read},
		Operator:   {Public, Read, RevokeHost, ManageHosts},
		Admin:      {Public, Read, RevokeHost, ManageHosts, ManageTokens, Backup, Scrub},
		"Admin":    {Public},
		"reader\n": {Public},
	}
	for role, grants := range want {
		for _, p := range []Permission{Public, Read, RevokeHost, ManageHosts, ManageTokens, Backup, Scrub, "", "anything"} {
			if got, want := role.Allows(p), slices.Contains(grants, p); got != want {
				t.Errorf("Role(%q).Allows(%q) = %v, want %v", role, p, got, want)
			}
		}
	}
}

func TestTokenVerifiesUntilItExpires(t *testing.T) {
	tokens, _, clock := newTokens()
	text, token, err := tokens.Create(Operator, "grafana", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := token.ExpiresAt, clock.at.Add(DefaultTTL); !got.Equal(want) {
		t.Errorf("expires %v, want %v", got, want)
	}
	p, err := tokens.Verify(text)
	if err != nil || p.Role != Operator || p.Name != "token "+token.ID {
		t.Fatalf("Verify = %+v, %v", p, err)
	}
	clock.at = token.ExpiresAt.Add(-time.Nanosecond)
	if _, err := tokens.Verify(text); err != nil {
		t.Errorf("before expiry: %v", err)
	}
	clock.at = token.ExpiresAt
	if _, err := tokens.Verify(text); !errors.Is(err, ErrBadToken) {
		t.Errorf("at expiry: %v, want ErrBadToken", err)
	}
}

func TestTokenRefusalsAreAlike(t *testing.T) {
	tokens, _, _ := newTokens()
	good, token, err := tokens.Create(Admin, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := tokens.Create(Admin, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	idLen := len(tokenPrefix) + 8
	revoked, gone, err := tokens.Create(Reader, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Revoke(gone.ID); err != nil {
		t.Fatal(err)
	}
	bad := []string{
		"", "atk_", good[:len(good)-1], good + "a", strings.ToUpper(good), "at1_" + good[4:], " " + good,
		good[:idLen] + other[idLen:], // known id, another's secret
		tokenPrefix + "aaaaaaaa" + good[idLen:],
		strings.Replace(good, good[6:7], "!", 1), revoked, good + "\x00", strings.Repeat("a", 1<<20),
	}
	for _, text := range bad {
		p, err := tokens.Verify(text)
		if err != ErrBadToken || p != (Principal{}) { //nolint:errorlint // must be this very value: one answer for all
			t.Errorf("Verify(%.60q) = %+v, %v, want ErrBadToken", text, p, err)
		}
	}
	if err := tokens.Revoke(token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(good); !errors.Is(err, ErrBadToken) {
		t.Errorf("revoked token: %v", err)
	}
	if err := tokens.Revoke(token.ID); !errors.Is(err, ErrNoToken) {
		t.Errorf("second Revoke = %v, want ErrNoToken", err)
	}
	if err := tokens.Revoke(""); !errors.Is(err, ErrNoToken) {
		t.Errorf("Revoke of nothing = %v, want ErrNoToken", err)
	}
}

func TestSecretIsNotAtRest(t *testing.T) {
	tokens, m, _ := newTokens()
	text, token, err := tokens.Create(Reader, "note", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := parse(text)
	raw := m.rows[token.ID]
	for _, leak := range [][]byte{secret, []byte(text), []byte(text[12:])} {
		if bytes.Contains(raw, leak) {
			t.Errorf("record %q holds the secret", raw)
		}
	}
	var rec record
	if err := json.Unmarshal(raw, &rec); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(secret); !bytes.Equal(rec.Hash, want[:]) {
		t.Errorf("hash at rest %x, want %x", rec.Hash, want)
	}
}

func TestLastUseIsCoarse(t *testing.T) {
	tokens, m, clock := newTokens()
	text, _, err := tokens.Create(Reader, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Time {
		t.Helper()
		if _, err := tokens.Verify(text); err != nil {
			t.Fatal(err)
		}
		list, err := tokens.List()
		if err != nil {
			t.Fatal(err)
		}
		return list[0].LastUsed
	}
	first := used()
	if !first.Equal(clock.at) { // not the hour's beginning, which is before it was made
		t.Errorf("last use %v, want when it was made, %v", first, clock.at)
	}
	clock.at = clock.at.Add(10 * time.Minute)
	before := m.rows
	if got := used(); !got.Equal(first) {
		t.Errorf("ten minutes later: %v, want %v", got, first)
	}
	if !maps.EqualFunc(before, m.rows, bytes.Equal) {
		t.Error("a use within the hour wrote")
	}
	clock.at = clock.at.Add(time.Hour)
	if got := used(); !got.After(first) {
		t.Errorf("an hour later: still %v", got)
	}
}

func TestTokenRequestsOutOfBoundsAreRefused(t *testing.T) {
	tokens, _, _ := newTokens()
	f := func(role Role, note string, ttl time.Duration) {
		t.Helper()
		if _, _, err := tokens.Create(role, note, ttl); !errors.Is(err, ErrInvalid) {
			t.Errorf("Create(%q, %d bytes, %v) = %v, want ErrInvalid", role, len(note), ttl, err)
		}
	}
	f("", "", 0)
	f("root", "", 0)
	f(Reader, strings.Repeat("n", maxNote+1), 0)
	f(Reader, "", -1)
	f(Reader, "", MaxTTL+1)
}

func TestOldTokensAreForgotten(t *testing.T) {
	tokens, _, clock := newTokens()
	if _, _, err := tokens.Create(Reader, "old", time.Hour); err != nil {
		t.Fatal(err)
	}
	clock.at = clock.at.Add(31 * 24 * time.Hour)
	if _, _, err := tokens.Create(Reader, "new", time.Hour); err != nil {
		t.Fatal(err)
	}
	list, err := tokens.List()
	if err != nil || len(list) != 1 || list[0].Note != "new" {
		t.Errorf("List = %+v, %v, want the new one only", list, err)
	}
}

func TestRegisterThatFailsLetsNobodyIn(t *testing.T) {
	tokens, m, _ := newTokens()
	text, _, err := tokens.Create(Admin, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.fail = errors.New("disk full")
	if p, err := tokens.Verify(text); !errors.Is(err, m.fail) || p != (Principal{}) {
		t.Errorf("Verify = %+v, %v, want the cause", p, err)
	}
	if _, _, err := tokens.Create(Admin, "", 0); !errors.Is(err, m.fail) {
		t.Errorf("Create = %v, want the cause", err)
	}
}

func FuzzParse(f *testing.F) {
	tokens, _, _ := newTokens()
	text, _, err := tokens.Create(Reader, "", 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("atk_")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret, ok := parse(s)
		if ok && (len(id) != 8 || len(secret) != secretBytes) {
			t.Errorf("parse(%q) = %q, %x", s, id, secret)
		}
	})
}

func TestPeerIsRootOrTheCollectorItself(t *testing.T) {
	for _, c := range []struct {
		uid, own int
		want     bool
	}{{0, 0, true}, {0, 990, true}, {990, 990, true}, {1000, 990, false}, {990, 0, false}, {-1, 990, false}, {65534, 0, false}} {
		p, err := judgePeer(c.uid, c.own)
		if (err == nil) != c.want || (err == nil) != (p.Role == Admin) {
			t.Errorf("judgePeer(%d, %d) = %+v, %v", c.uid, c.own, p, err)
		}
	}
}

func TestPeerOfRealSocket(t *testing.T) {
	l, err := ListenSocket(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := Peer(conn); err != nil || p.Role != Admin {
		t.Errorf("Peer = %+v, %v, want this user to be admin", p, err)
	}
}

func TestListenTakesLoopbackOrTLSOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0"} {
		l, err := Listen(address, nil)
		if err == nil {
			l.Close()
			t.Errorf("Listen(%q) without TLS succeeded", address)
		} else if !strings.Contains(err.Error(), "needs TLS") {
			t.Errorf("Listen(%q) = %v, want it to name the next step", address, err)
		}
	}
	if _, err := Listen("7480", nil); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("Listen without host: %v", err)
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := Listen(address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("Listen(%q) is on %v", address, l.Addr())
		}
		l.Close()
	}
	l, err := Listen("0.0.0.0:0", &tls.Config{MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatalf("with TLS: %v", err)
	}
	l.Close()
}

func TestListenSocketReplacesDeadSocketsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atalaya.sock")
	first, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("socket has mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("second listener: %v", err)
	}
	first.SetUnlinkOnClose(false)
	first.Close()
	second, err := ListenSocket(path)
	if err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	second.Close()
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := ListenSocket("/" + strings.Repeat("d", 200)); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("long path: %v", err)
	}
}
