// Package storetest holds a state file with hosts that report, for tests of the packages
// that read it. What does not succeed ends the test.
package storetest

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Fleet is an open state file with a clock that the test moves.
type Fleet struct {
	*store.Store
	Path string
	Now  time.Time     // what its clock says
	Step time.Duration // passes after each batch

	t    testing.TB
	seq  uint64
	open bool
}

// New opens a new state file in a folder of the test, which closes it at its end.
func New(t testing.TB, now time.Time) *Fleet {
	t.Helper()
	return At(t, filepath.Join(t.TempDir(), store.FileName), now)
}

// At is New for a file that the test has chosen, which may be there already.
func At(t testing.TB, path string, now time.Time) *Fleet {
	t.Helper()
	f := &Fleet{Path: path, Now: now, t: t}
	f.Open()
	t.Cleanup(f.Close)
	return f
}

// Open opens the file again after Close.
func (f *Fleet) Open() {
	f.t.Helper()
	s, err := store.Open(store.Config{Path: f.Path, NoSync: true, Now: func() time.Time { return f.Now }})
	if err != nil {
		f.t.Fatal(err)
	}
	f.Store, f.open = s, true
}

// Close closes the file, once.
func (f *Fleet) Close() {
	f.t.Helper()
	if !f.open {
		return
	}
	f.open = false
	if err := f.Store.Close(); err != nil {
		f.t.Error(err)
	}
}

// Do commits what fn does.
func (f *Fleet) Do(fn func(*store.Tx) error) {
	f.t.Helper()
	if err := f.Update(fn); err != nil {
		f.t.Fatal(err)
	}
}

// Host enrols a host, whose number begins with n.
func (f *Fleet) Host(n byte, name string, tags ...string) identity.HostID {
	f.t.Helper()
	id := identity.HostID{n}
	f.Do(func(tx *store.Tx) error {
		return tx.PutHost(store.Host{ID: id, Name: name, EnrolledAt: f.Now, Tags: tags})
	})
	return id
}

// Report brings the whole of a section.
func (f *Fleet) Report(id identity.HostID, section facts.ID, rows ...facts.Row) {
	f.t.Helper()
	items, err := wire.Items(facts.Sort(rows))
	if err != nil {
		f.t.Fatal(err)
	}
	u := wire.SectionUpdate{Section: section, Status: facts.StatusOK, Full: true, At: f.Now.UnixMilli(), Digest: facts.DigestOf(items)}
	for _, it := range items {
		u.Put = append(u.Put, it.Data)
	}
	f.Send(id, u)
}

// Send brings one update, then Step passes.
func (f *Fleet) Send(id identity.HostID, u wire.SectionUpdate) {
	f.t.Helper()
	f.seq++
	out, err := f.Apply([]store.Delivery{{Host: id, Received: f.Now,
		Batch: wire.Batch{Epoch: 1, Seq: f.seq, Kind: wire.KindInventory, Checksum: 1, Updates: []wire.SectionUpdate{u}}}})
	if err != nil || out[0].Err != nil || slices.Contains(out[0].Resync, u.Section) {
		f.t.Fatalf("apply: %+v, %v", out, err)
	}
	f.Now = f.Now.Add(f.Step)
}

// Dump returns all that is in those tables.
func (f *Fleet) Dump(tables ...string) map[string]string {
	f.t.Helper()
	out := map[string]string{}
	err := f.View(func(tx *store.Tx) error {
		for _, name := range tables {
			err := tx.Table(name).Scan(nil, func(k, v []byte) error {
				out[fmt.Sprintf("%s %x", name, k)] = string(v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}
