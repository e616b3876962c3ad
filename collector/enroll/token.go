package enroll

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

const (
	defaultTTL = 24 * time.Hour
	maxTTL     = 30 * 24 * time.Hour
	// keepTokens is how long a token stays listed after it ended, as a trace.
	keepTokens = 30 * 24 * time.Hour
	// maxTokens bounds the tokens that wait to be used: a script that makes them in a
	// loop must not fill the state. A fleet is enrolled in portions of this.
	maxTokens = 10_000
	maxNote   = 256 // bytes
)

// What the API tells apart.
var (
	// ErrNoToken: there is no token with that id.
	ErrNoToken = errors.New("no such token")
	// ErrNoHost: no key is enrolled for that host.
	ErrNoHost = errors.New("no such host")
	// ErrInvalid: an option is out of range.
	ErrInvalid = errors.New("invalid token option")
)

// TokenOptions are what an administrator chooses for a new token.
type TokenOptions struct {
	TTL     time.Duration // 0: 24 hours; 30 days at most
	Address string        // of the collector; empty: the configured one
	Note    string        // for people: which machine it is for
}

// TokenState says what a token is good for.
type TokenState string

// The states of a token.
const (
	TokenReady   TokenState = "ready"
	TokenUsed    TokenState = "used"
	TokenExpired TokenState = "expired"
	TokenRevoked TokenState = "revoked"
)

// Token is what is known of a token after it was given out. The secret is not.
type Token struct {
	ID      string // public: names the token in lists and for RevokeToken
	State   TokenState
	Note    string
	Created time.Time
	Expires time.Time
	UsedAt  time.Time        // zero: not used
	UsedBy  string           // address that the request came from
	Host    *identity.HostID // that it enrolled
}

// tokenRecord is Token as stored under the hash of its secret.
type tokenRecord struct {
	Note      string           `json:"note,omitempty"`
	Created   facts.Time       `json:"created"`
	Expires   facts.Time       `json:"expires"`
	RevokedAt facts.Time       `json:"revoked_at,omitzero"`
	UsedAt    facts.Time       `json:"used_at,omitzero"`
	UsedBy    string           `json:"used_by,omitempty"`
	Key       []byte           `json:"key,omitempty"` // hash of the public key that used it
	Host      *identity.HostID `json:"host,omitempty"`
}

func (r tokenRecord) state(now time.Time) TokenState {
	switch {
	case r.UsedAt != 0:
		return TokenUsed
	case r.RevokedAt != 0:
		return TokenRevoked
	case now.After(r.Expires.Time()):
		return TokenExpired
	}
	return TokenReady
}

// ended is when the token stopped being good for anything.
func (r tokenRecord) ended() time.Time {
	for _, t := range []facts.Time{r.UsedAt, r.RevokedAt} {
		if t != 0 {
			return t.Time()
		}
	}
	return r.Expires.Time()
}

// tokenID is the public name of a token: 40 bits of the hash of its secret, which
// say nothing about the 160 of the secret.
func tokenID(hash []byte) string { return hex.EncodeToString(hash[:5]) }

// CreateToken makes a token that enrols one host. The text is given out once; the
// state keeps a hash of its secret.
func (a *Authority) CreateToken(ctx context.Context, o TokenOptions) (text string, token Token, err error) {
	texts, tokens, err := a.CreateTokens(ctx, o, 1)
	if err != nil {
		return "", Token{}, err
	}
	return texts[0], tokens[0], nil
}

// CreateTokens makes n tokens, for a roll-out to many hosts, in one transaction.
func (a *Authority) CreateTokens(ctx context.Context, o TokenOptions, n int) (texts []string, tokens []Token, err error) {
	o.TTL, o.Address = cmp.Or(o.TTL, defaultTTL), cmp.Or(o.Address, a.c.Address)
	if o.TTL < 0 || o.TTL > maxTTL {
		return nil, nil, fmt.Errorf("%w: it may live up to %s", ErrInvalid, maxTTL)
	}
	if len(o.Note) > maxNote {
		return nil, nil, fmt.Errorf("%w: the note has %d bytes, limit %d", ErrInvalid, len(o.Note), maxNote)
	}
	if err := identity.CheckAddress(o.Address); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	now := a.c.Now()
	rec := tokenRecord{Note: o.Note, Created: facts.TimeOf(now), Expires: facts.TimeOf(now.Add(o.TTL))}
	err = a.c.Store.Update(func(tx *store.Tx) error {
		if err := a.tidyTokens(tx, now, n); err != nil {
			return err
		}
		for range n {
			t := identity.Token{Address: o.Address, CAPin: a.pin}
			rand.Read(t.Secret[:]) // never fails, see crypto/rand
			hash := sha256.Sum256(t.Secret[:])
			if err := putJSON(tx, tableTokens, hash[:], rec); err != nil {
				return err
			}
			texts, tokens = append(texts, t.String()), append(tokens, rec.token(hash[:], now))
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("create token: %w", err)
	}
	return texts, tokens, nil
}

// tidyTokens forgets tokens that ended long ago and refuses when, with n more, too
// many would wait.
func (a *Authority) tidyTokens(tx *store.Tx, now time.Time, n int) error {
	var old [][]byte
	ready := 0
	err := scanJSON(tx, tableTokens, func(hash []byte, rec tokenRecord) error {
		switch {
		case rec.state(now) == TokenReady:
			ready++
		case now.Sub(rec.ended()) > keepTokens:
			old = append(old, slices.Clone(hash))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if ready+n > maxTokens {
		return fmt.Errorf("%w: %d tokens wait to be used: revoke some", ErrInvalid, ready)
	}
	for _, hash := range old {
		if err := tx.Table(tableTokens).Delete(hash); err != nil {
			return err
		}
	}
	return nil
}

func (r tokenRecord) token(hash []byte, now time.Time) Token {
	return Token{
		ID: tokenID(hash), State: r.state(now), Note: r.Note, Created: r.Created.Time(), Expires: r.Expires.Time(),
		UsedAt: r.UsedAt.Time(), UsedBy: r.UsedBy, Host: r.Host,
	}
}

// ListTokens returns all tokens that are remembered, the newest first.
func (a *Authority) ListTokens(ctx context.Context) ([]Token, error) {
	var tokens []Token
	now := a.c.Now()
	err := a.c.Store.View(func(tx *store.Tx) error {
		return scanJSON(tx, tableTokens, func(hash []byte, rec tokenRecord) error {
			tokens = append(tokens, rec.token(hash, now))
			return ctx.Err()
		})
	})
	slices.SortFunc(tokens, func(a, b Token) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return tokens, err
}

// RevokeToken makes a token useless. One that was used already stays what it is: the
// host is revoked by RevokeHost.
func (a *Authority) RevokeToken(ctx context.Context, id string) (Token, error) {
	var token Token
	now := a.c.Now()
	err := a.c.Store.Update(func(tx *store.Tx) error {
		hash, rec, err := findToken(tx, id)
		if err != nil {
			return err
		}
		if rec.RevokedAt == 0 && rec.UsedAt == 0 {
			rec.RevokedAt = facts.TimeOf(now)
		}
		token = rec.token(hash, now)
		return errors.Join(ctx.Err(), putJSON(tx, tableTokens, hash, rec))
	})
	if err != nil {
		return Token{}, fmt.Errorf("revoke token %q: %w", id, err)
	}
	return token, nil
}

func findToken(tx *store.Tx, id string) (hash []byte, rec tokenRecord, err error) {
	err = scanJSON(tx, tableTokens, func(h []byte, r tokenRecord) error {
		if tokenID(h) == id {
			hash, rec = slices.Clone(h), r
			return store.ErrStop
		}
		return nil
	})
	if err == nil && hash == nil {
		err = ErrNoToken
	}
	return hash, rec, err
}

func getJSON(tx *store.Tx, table string, key []byte, v any) (found bool, err error) {
	b, err := tx.Table(table).Get(key)
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%w: table %q: %w", store.ErrCorrupt, table, err)
	}
	return true, nil
}

func putJSON(tx *store.Tx, table string, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode record of %q: %w", table, err)
	}
	return tx.Table(table).Put(key, b)
}

func scanJSON[R any](tx *store.Tx, table string, fn func(key []byte, rec R) error) error {
	return tx.Table(table).Scan(nil, func(key, value []byte) error {
		var rec R
		if err := json.Unmarshal(value, &rec); err != nil {
			return fmt.Errorf("%w: table %q: %w", store.ErrCorrupt, table, err)
		}
		return fn(key, rec)
	})
}
