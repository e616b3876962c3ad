package enroll

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// OnRevoke sets what is called, once per revocation and after it is durable, so that
// sessions of the host end. To be set before the first agent connects.
func (a *Authority) OnRevoke(fn func(identity.HostID)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onRevoke = fn
}

// whyRemoved is why the keys of a removed host are revoked: they may be reinstated.
const whyRemoved = "removed"

func (k keyRecord) because() string {
	if k.RevokedWhy == whyRemoved {
		return " because its host was removed (`atalaya host revive` reinstates it)"
	}
	return ""
}

// RevokeHost takes back the trust in all keys of a host for good. It returns after that
// is durable. Revoking twice is no error; a host that never enrolled is ErrNoHost.
func (a *Authority) RevokeHost(ctx context.Context, id identity.HostID) error {
	if err := a.revokeKeys(ctx, id); err != nil {
		return fmt.Errorf("revoke host %s: %w", id, err)
	}
	a.forgetRevoked()
	a.c.Log.Info("host revoked", "host", id)
	a.mu.Lock()
	notify := a.onRevoke
	a.mu.Unlock()
	tell(notify, []identity.HostID{id})
	return nil
}

// revokeKeys writes the list first: whatever fails later, the key stays revoked.
func (a *Authority) revokeKeys(ctx context.Context, id identity.HostID) error {
	at := facts.TimeOf(a.c.Now())
	return a.c.Store.Update(func(tx *store.Tx) error {
		keys, err := keysOf(tx, id)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return ErrNoHost
		}
		list := make(map[[32]byte]*revocation)
		for hash, rec := range keys {
			if rec.RevokedAt != 0 && rec.RevokedWhy == "" {
				continue // a key that was retired may still be revoked for good
			}
			list[hash] = &revocation{host: id, at: at.Time()}
			rec.RevokedAt, rec.RevokedWhy = at, ""
			if err := putJSON(tx, tableKeys, hash[:], rec); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err = a.revoked.change(list)
		return err
	})
}

// keysOf returns the keys that stand for those hosts.
func keysOf(tx *store.Tx, ids ...identity.HostID) (map[[32]byte]keyRecord, error) {
	keys := make(map[[32]byte]keyRecord)
	err := scanJSON(tx, tableKeys, func(hash []byte, rec keyRecord) error {
		if slices.Contains(ids, rec.Host) && len(hash) == 32 {
			keys[[32]byte(hash)] = rec
		}
		return nil
	})
	return keys, err
}

// Verify says which host a verified certificate stands for, by its key. The code is
// CodeNone when it may have a session; otherwise reason is for the agent. It is to
// be asked for each new session.
func (a *Authority) Verify(cert *x509.Certificate) (id identity.HostID, code wire.Code, reason string) {
	err := a.c.Store.View(func(tx *store.Tx) (err error) {
		id, err = a.verify(tx, cert)
		return err
	})
	var no *refusal
	switch {
	case err == nil:
		return id, wire.CodeNone, ""
	case errors.As(err, &no):
		return identity.HostID{}, no.code, no.reason
	}
	a.c.Log.Error("certificate not checked", "err", err)
	return identity.HostID{}, wire.CodeInternal, "the collector could not check the certificate: its log says why; try again"
}

func (a *Authority) verify(tx *store.Tx, cert *x509.Certificate) (identity.HostID, error) {
	named, err := identity.HostIDFromCert(cert)
	if err != nil {
		return named, refuse(wire.CodeUnknownHost, "%s: enrol the host with a new token", err)
	}
	hash, err := identity.KeyHash(cert.PublicKey)
	if err != nil {
		return named, err
	}
	var key keyRecord
	known, err := getJSON(tx, tableKeys, hash[:], &key)
	switch {
	case err != nil:
		return named, err
	case !known || key.Host != named && !slices.Contains(key.Was, named):
		return named, refuse(wire.CodeUnknownHost, "host %s is not known here: enrol it with a new token", named)
	case a.revoked.has(hash) || key.RevokedAt != 0:
		return named, refuse(wire.CodeRevoked,
			"host %s is revoked%s: to let it back in, delete %s on it and enrol it with a new token", named, key.because(), identity.HostKeyFile)
	}
	return key.Host, nil
}

// mergeRevoked marks in the state what the list has revoked: after an older backup
// was restored the state may have forgotten it.
func (a *Authority) mergeRevoked() error {
	missing := make(map[[32]byte]keyRecord)
	err := a.c.Store.View(func(tx *store.Tx) error {
		for hash, r := range a.revoked.entries {
			var key keyRecord
			known, err := getJSON(tx, tableKeys, hash[:], &key)
			if err != nil {
				return err
			}
			if known && key.RevokedAt != 0 {
				continue
			}
			if !known {
				key.Host = r.host
			}
			key.RevokedAt, key.RevokedWhy = facts.TimeOf(r.at), r.why
			missing[hash] = key
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	a.c.Log.Warn("the state had forgotten revocations, probably by a restored backup", "keys", len(missing))
	return a.c.Store.Update(func(tx *store.Tx) error {
		for hash, key := range missing {
			if err := putJSON(tx, tableKeys, hash[:], key); err != nil {
				return err
			}
		}
		return nil
	})
}

// revokedList is the file beside the state that remembers revoked keys whatever
// happens to the state. A line is: time (RFC 3339), host id, hash of the public key, and
// "removed" where the host was removed.
type revokedList struct {
	path string

	mu      sync.Mutex // guards entries and the file
	entries map[[32]byte]revocation
}

type revocation struct {
	host identity.HostID
	at   time.Time
	why  string
}

func openRevokedList(path string) (*revokedList, error) {
	l := &revokedList{path: path, entries: make(map[[32]byte]revocation)}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read revoked keys: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		hash, r, err := parseRevocation(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read revoked keys: %s:%d: %w", path, n, err)
		}
		l.entries[hash] = r
	}
	return l, lines.Err()
}

func parseRevocation(line string) (hash [32]byte, r revocation, err error) {
	fields := strings.Fields(line)
	if len(fields) == 4 && fields[3] == whyRemoved {
		fields, r.why = fields[:3], whyRemoved
	}
	if len(fields) != 3 || len(fields[2]) != hex.EncodedLen(len(hash)) {
		return hash, r, errors.New("want time, host id and key hash")
	}
	if r.at, err = time.Parse(time.RFC3339, fields[0]); err != nil {
		return hash, r, err
	}
	if r.host, err = identity.ParseHostID(fields[1]); err != nil {
		return hash, r, err
	}
	_, err = hex.Decode(hash[:], []byte(fields[2]))
	return hash, r, err
}

func (l *revokedList) has(hash [32]byte) bool {
	_, ok := l.of(hash)
	return ok
}

func (l *revokedList) of(hash [32]byte) (revocation, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.entries[hash]
	return r, ok
}

func (l *revokedList) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries) == 0
}

// change makes durable what is to be listed of those keys, nil being nothing, and returns
// what was. What cannot be written is not so.
func (l *revokedList) change(to map[[32]byte]*revocation) (was map[[32]byte]*revocation, err error) {
	if len(to) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was = l.setLocked(to)
	if err := l.writeLocked(); err != nil {
		l.setLocked(was)
		return nil, store.FullAt(l.path, err)
	}
	return was, nil
}

func (l *revokedList) setLocked(to map[[32]byte]*revocation) (was map[[32]byte]*revocation) {
	was = make(map[[32]byte]*revocation, len(to))
	for hash, r := range to {
		was[hash] = nil
		if old, ok := l.entries[hash]; ok {
			was[hash] = &old
		}
		if delete(l.entries, hash); r != nil {
			l.entries[hash] = *r
		}
	}
	return was
}

// writeLocked replaces the file as a whole, so that no crash leaves half a line;
// revocations are few.
func (l *revokedList) writeLocked() error {
	lines := make([]string, 0, len(l.entries))
	for h, r := range l.entries {
		line := fmt.Sprintf("%s %s %x", r.at.UTC().Format(time.RFC3339), r.host, h)
		if r.why != "" {
			line += " " + r.why
		}
		lines = append(lines, line+"\n")
	}
	slices.Sort(lines)
	return identity.WriteFile(l.path, []byte(strings.Join(lines, "")))
}
