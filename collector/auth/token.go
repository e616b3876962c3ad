package auth

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	tokenPrefix = "atk_"
	idBytes     = 5  // names the record; 8 letters
	secretBytes = 20 // 160 bits: cannot be guessed, so a fast hash suffices at rest

	// DefaultTTL and MaxTTL bound the life of a token: programs need a renewal
	// routine that has been used before it is needed.
	DefaultTTL = 90 * 24 * time.Hour
	MaxTTL     = 366 * 24 * time.Hour

	// lastUsedStep is how coarse the last use is kept, so that requests do not
	// become writes.
	lastUsedStep = time.Hour

	// maxTokens bounds the table.
	maxTokens = 10_000
	maxNote   = 200 // bytes
)

var (
	// ErrBadToken: the token is not known, expired, revoked or malformed. One
	// answer for all, so that it tells a guesser nothing.
	ErrBadToken = errors.New("the token is not valid: create one with `atalaya token create --role ROLE`")
	// ErrNoToken: there is no token of that id.
	ErrNoToken = errors.New("no such token")
	// ErrInvalid: the token asked for is out of bounds.
	ErrInvalid = errors.New("invalid token request")
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Table is where tokens rest; keys and values are opaque to it.
type Table interface {
	// Get returns nil when there is no such key. The value is valid during the transaction.
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
	// Scan calls fn for each key with the prefix, in order.
	Scan(prefix []byte, fn func(key, value []byte) error) error
}

// Records opens the table in a transaction that is durable when Update returns nil.
type Records interface {
	View(func(Table) error) error
	Update(func(Table) error) error
}

// Token is a token without its secret.
type Token struct {
	ID        string
	Role      Role
	Note      string
	CreatedAt time.Time
	ExpiresAt time.Time
	LastUsed  time.Time // coarse: may lag by an hour; zero: never
}

// record is a token at rest. Its fields are only added to, never renamed.
type record struct {
	Hash      []byte    `json:"hash"` // SHA-256 of the secret
	Role      Role      `json:"role"`
	Note      string    `json:"note,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	LastUsed  time.Time `json:"last_used,omitzero"`
}

// Tokens is the register of tokens. Safe for concurrent use.
type Tokens struct {
	records Records
	now     func() time.Time
}

// NewTokens returns the register that rests in records.
func NewTokens(records Records, now func() time.Time) *Tokens {
	return &Tokens{records: records, now: now}
}

// Create makes a token of the role that lives for ttl, or DefaultTTL when it is
// zero. The text is shown to its owner once and kept nowhere.
func (t *Tokens) Create(role Role, note string, ttl time.Duration) (text string, token Token, err error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	switch {
	case !slices.Contains(Roles(), role):
		return "", Token{}, fmt.Errorf("%w: unknown role %q", ErrInvalid, role)
	case ttl < 0 || ttl > MaxTTL:
		return "", Token{}, fmt.Errorf("%w: a life of %v, at most %v", ErrInvalid, ttl, MaxTTL)
	case len(note) > maxNote:
		return "", Token{}, fmt.Errorf("%w: the note has %d bytes, at most %d", ErrInvalid, len(note), maxNote)
	}
	var raw [idBytes + secretBytes]byte
	rand.Read(raw[:]) // never fails, see crypto/rand
	id, hash := tokenText.EncodeToString(raw[:idBytes]), sha256.Sum256(raw[idBytes:])
	now := t.now().UTC()
	rec := record{Hash: hash[:], Role: role, Note: note, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	err = t.records.Update(func(table Table) error {
		if err := dropExpired(table, now); err != nil {
			return err
		}
		return put(table, id, rec)
	})
	if err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	return tokenPrefix + tokenText.EncodeToString(raw[:]), rec.token(id), nil
}

// dropExpired removes tokens that ended more than a month ago, and refuses to go
// on when the table is full of living ones.
func dropExpired(table Table, now time.Time) error {
	var old [][]byte
	count := 0
	err := scan(table, func(id string, rec record) {
		count++
		if now.Sub(rec.ExpiresAt) > 30*24*time.Hour {
			old = append(old, []byte(id))
		}
	})
	if err != nil {
		return err
	}
	if count-len(old) >= maxTokens {
		return fmt.Errorf("%w: there are already %d tokens; revoke some", ErrInvalid, maxTokens)
	}
	for _, id := range old {
		if err := table.Delete(id); err != nil {
			return err
		}
	}
	return nil
}

// Verify returns whose token the text is. Every refusal is ErrBadToken.
func (t *Tokens) Verify(text string) (Principal, error) {
	id, secret, ok := parse(text)
	if !ok {
		return Principal{}, ErrBadToken
	}
	hash := sha256.Sum256(secret)
	var rec record
	err := t.records.View(func(table Table) (err error) {
		rec, ok, err = get(table, id)
		return err
	})
	if err != nil {
		return Principal{}, fmt.Errorf("verify token: %w", err)
	}
	if !ok {
		rec.Hash = make([]byte, sha256.Size) // the same work as for a known id
	}
	match := subtle.ConstantTimeCompare(hash[:], rec.Hash) == 1
	now := t.now()
	if !ok || !match || !now.Before(rec.ExpiresAt) {
		return Principal{}, ErrBadToken
	}
	if now.Sub(rec.LastUsed) >= lastUsedStep {
		if err := t.touch(id, now); err != nil {
			return Principal{}, fmt.Errorf("note use of token: %w", err)
		}
	}
	return Principal{Name: "token " + id, Role: rec.Role}, nil
}

func (t *Tokens) touch(id string, now time.Time) error {
	return t.records.Update(func(table Table) error {
		rec, ok, err := get(table, id)
		if err != nil {
			return err
		}
		if !ok {
			return ErrBadToken // revoked in between
		}
		rec.LastUsed = now.UTC().Truncate(lastUsedStep)
		return put(table, id, rec)
	})
}

// List returns all tokens, newest first.
func (t *Tokens) List() ([]Token, error) {
	var out []Token
	err := t.records.View(func(table Table) error {
		return scan(table, func(id string, rec record) { out = append(out, rec.token(id)) })
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	slices.SortFunc(out, func(a, b Token) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Revoke makes a token worthless at once. It returns ErrNoToken when there is none.
func (t *Tokens) Revoke(id string) error {
	return t.records.Update(func(table Table) error {
		_, ok, err := get(table, id)
		if err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		if !ok {
			return ErrNoToken
		}
		return table.Delete([]byte(id))
	})
}

// parse splits the text of a token. It does not compare secrets.
func parse(text string) (id string, secret []byte, ok bool) {
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(body) != tokenText.EncodedLen(idBytes+secretBytes) {
		return "", nil, false
	}
	raw, err := tokenText.DecodeString(body)
	if err != nil || len(raw) != idBytes+secretBytes {
		return "", nil, false
	}
	return body[:tokenText.EncodedLen(idBytes)], raw[idBytes:], true
}

func (r record) token(id string) Token {
	if !r.LastUsed.IsZero() && r.LastUsed.Before(r.CreatedAt) {
		r.LastUsed = r.CreatedAt // the hour of the use began before it
	}
	return Token{ID: id, Role: r.Role, Note: r.Note, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsed: r.LastUsed}
}

func put(table Table, id string, rec record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return table.Put([]byte(id), b)
}

func get(table Table, id string) (rec record, ok bool, err error) {
	if id == "" {
		return rec, false, nil
	}
	b, err := table.Get([]byte(id))
	if err != nil || b == nil {
		return rec, false, err
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return rec, false, fmt.Errorf("token %s at rest: %w", id, err)
	}
	return rec, true, nil
}

func scan(table Table, fn func(id string, rec record)) error {
	return table.Scan(nil, func(key, value []byte) error {
		var rec record
		if err := json.Unmarshal(value, &rec); err != nil {
			return fmt.Errorf("token %s at rest: %w", key, err)
		}
		fn(string(key), rec)
		return nil
	})
}
