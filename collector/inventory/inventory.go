// Package inventory is what we conclude about assets: the current state of each host
// in a summary, the history of its facts, the difference between two moments, search
// over the software of the fleet, and the patch verdict that still holds now.
//
// It is a view over the store's change log. Its table holds a summary for each host
// and can be built anew from the log, which gives the same bytes. What hosts share is
// asked of the store itself (see store.State), now or as of a moment. Verdicts and ages depend on the clock and are therefore
// worked out when they are read. Ages count from the host's own times corrected by
// the offset of its clock.
package inventory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// The tables of the view.
const (
	tableHosts = "inventory.hosts" // host index -> summary as JSON
)

// View answers for the inventory. Its methods may be called from any goroutine.
type View struct {
	store       *store.Store
	changedRows int // see maxChangedRows
}

// New returns the view over a store. It answers at once with what Run has folded so far.
func New(s *store.Store) *View { return &View{s, maxChangedRows} }

// Run keeps the view up to date until ctx ends.
func (v *View) Run(ctx context.Context) error { return v.store.Follow(ctx, follower()) }

// CatchUp folds all that is in the change log now.
func (v *View) CatchUp(ctx context.Context) error { return v.store.CatchUp(ctx, follower()) }

// Rebuild builds the view anew.
func (v *View) Rebuild(ctx context.Context) error { return v.store.Rebuild(ctx, follower()) }

func follower() store.Follower {
	return store.Follower{Name: "inventory", Version: 3, Tables: []string{tableHosts, "inventory.packages"}, Fold: fold,
		Sections: slices.Collect(maps.Keys(summarised))}
}

// summary is what is kept of a host for lists: taken from its rows, nothing that ages.
// There is one for each host of the fleet: its names are short and the row is encoded.
type summary struct {
	OSID         string   `json:"i,omitempty"`
	OSName       string   `json:"o,omitempty"`
	OSVersion    string   `json:"v,omitempty"`
	Kernel       string   `json:"k,omitempty"`
	Arch         string   `json:"a,omitempty"`
	Virtualised  string   `json:"z,omitempty"`
	Manufacturer string   `json:"m,omitempty"`
	Product      string   `json:"p,omitempty"`
	Serial       string   `json:"s,omitempty"`
	CPUModel     string   `json:"c,omitempty"`
	Cores        int      `json:"n,omitempty"`
	Threads      int      `json:"t,omitempty"`
	MemoryBytes  int64    `json:"b,omitempty"`
	Addresses    []string `json:"d,omitempty"`
	PatchRow     []byte   `json:"u,omitempty"` // as wire.EncodeRow gives it

	patchState *facts.PatchStateRow
}

// summarised are the sections from which summaries are made, each with what it gives.
var summarised = map[facts.ID]func(*summary, facts.Row){
	facts.OS: func(s *summary, row facts.Row) {
		r := row.(*facts.OSRow)
		s.OSID, s.OSName, s.OSVersion, s.Arch, s.Virtualised = r.ID, r.Name, r.Version, r.Arch, r.Virtualised
		if s.OSVersion == "" {
			s.OSVersion = r.VersionID
		}
	},
	facts.Kernel: func(s *summary, row facts.Row) {
		if r := row.(*facts.KernelRow); r.Running {
			s.Kernel = r.Release
		}
	},
	facts.System: func(s *summary, row facts.Row) {
		r := row.(*facts.SystemRow)
		s.Manufacturer, s.Product, s.Serial = r.Manufacturer, r.Product, r.Serial
	},
	facts.CPUs: func(s *summary, row facts.Row) {
		r := row.(*facts.CPURow)
		s.CPUModel = r.Model
		s.Cores += r.Cores
		s.Threads += r.Threads
	},
	facts.MemoryModules: func(s *summary, row facts.Row) { s.MemoryBytes += row.(*facts.MemoryModuleRow).SizeBytes },
	facts.Addresses: func(s *summary, row facts.Row) {
		if r := row.(*facts.AddressRow); r.Scope == "global" {
			s.Addresses = append(s.Addresses, r.Address)
		}
	},
	facts.PatchState: func(s *summary, row facts.Row) { s.patchState = row.(*facts.PatchStateRow) },
}

// fold brings the tables up to date. The summary of a host is made from its current
// rows, which are at least as new as the changes.
func fold(tx *store.Tx, changes []store.Change) error {
	indexes := map[identity.HostID]uint32{}
	var dirty []identity.HostID
	for _, c := range changes {
		if c.Kind == store.StatusChanged {
			continue
		}
		if _, ok := indexes[c.Host]; !ok {
			h, _, err := tx.Host(c.Host)
			if err != nil {
				return err
			}
			indexes[c.Host] = h.Index
		}
		if _, ok := summarised[c.Section]; ok && !slices.Contains(dirty, c.Host) {
			dirty = append(dirty, c.Host)
		}
	}
	for _, id := range dirty {
		if err := summarise(tx, id, indexes[id]); err != nil {
			return err
		}
	}
	return nil
}

// summarise writes the summary of a host.
func summarise(tx *store.Tx, id identity.HostID, index uint32) error {
	var s summary
	for _, section := range facts.Sections() {
		take, ok := summarised[section.ID]
		if !ok {
			continue
		}
		err := tx.Rows(id, section.ID, func(_ string, data []byte) error {
			row, err := wire.DecodeRow(section.ID, data)
			if err != nil {
				return fmt.Errorf("host %s: %w", id, err)
			}
			take(&s, row)
			return nil
		})
		if err != nil {
			return err
		}
	}
	var err error
	if s.patchState != nil {
		if s.PatchRow, err = wire.EncodeRow(s.patchState); err != nil {
			return fmt.Errorf("host %s: %w", id, err)
		}
	}
	v, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("host %s: %w", id, err)
	}
	return tx.Table(tableHosts).Put(indexKey(index), v)
}

func readSummary(tx *store.Tx, index uint32) (s summary, err error) {
	v, err := tx.Table(tableHosts).Get(indexKey(index))
	if err != nil || v == nil {
		return s, err
	}
	err = json.Unmarshal(v, &s)
	if err == nil && s.PatchRow != nil {
		var row facts.Row
		if row, err = wire.DecodeRow(facts.PatchState, s.PatchRow); err == nil {
			s.patchState = row.(*facts.PatchStateRow)
		}
	}
	if err != nil {
		return s, &store.CorruptError{Table: tableHosts, Key: indexKey(index), Detail: err.Error()}
	}
	return s, nil
}

func indexKey(index uint32) []byte { return binary.BigEndian.AppendUint32(nil, index) }

// What callers branch on.
var (
	// ErrNotFound: no host, section or package of that name.
	ErrNotFound = errors.New("not found")
	// ErrVersion: a bound that no version can be compared with.
	ErrVersion = errors.New("not a version")
	// ErrHistory: the moment lies before what the change log still knows.
	ErrHistory = store.ErrHistory
	// ErrTooMany: the answer would be larger than the collector holds.
	ErrTooMany = errors.New("too much at once")
)

// HostRef names a host.
type HostRef struct {
	ID   identity.HostID `json:"id"`
	Name string          `json:"name"`
}

// AmbiguousError is a name that several hosts answer to.
type AmbiguousError struct {
	Ref     string
	Matches []HostRef // the first ones
	More    int       // how many more there are
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	s := fmt.Sprintf("%q is ambiguous, use an id:", e.Ref)
	for _, m := range e.Matches {
		s += fmt.Sprintf(" %s (%s)", m.ID, m.Name)
	}
	if e.More > 0 {
		s += fmt.Sprintf(" and %d more", e.More)
	}
	return s
}
