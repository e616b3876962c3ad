package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Host is the current state of a host in short.
type Host struct {
	ID           identity.HostID `json:"id"`
	Name         string          `json:"name"`
	Tags         []string        `json:"tags,omitempty"`
	OSID         string          `json:"os_id,omitempty"` // as os-release gives it: debian
	OSName       string          `json:"os_name,omitempty"`
	OSVersion    string          `json:"os_version,omitempty"`
	Kernel       string          `json:"kernel,omitempty"`
	Arch         string          `json:"arch,omitempty"`
	Virtualised  string          `json:"virtualised,omitempty"`
	Manufacturer string          `json:"manufacturer,omitempty"`
	Product      string          `json:"product,omitempty"`
	Serial       string          `json:"serial,omitempty"`
	CPUModel     string          `json:"cpu_model,omitempty"`
	Cores        int             `json:"cores,omitempty"`
	Threads      int             `json:"threads,omitempty"`
	MemoryBytes  int64           `json:"memory_bytes,omitempty"` // of the modules, where they can be read
	Addresses    []string        `json:"addresses,omitempty"`    // of global scope
	Packages     int             `json:"packages"`
	Patch        Patch           `json:"patch"`
	AgentVersion string          `json:"agent_version,omitempty"`
	EnrolledAt   time.Time       `json:"enrolled_at,omitzero"`
	LastSeen     time.Time       `json:"last_seen,omitzero"`
	ClockOffset  time.Duration   `json:"clock_offset_nanoseconds,omitempty"` // agent's clock minus ours
	Interval     time.Duration   `json:"interval_nanoseconds,omitempty"`     // between metric readings
	LossBatches  uint64          `json:"loss_batches,omitempty"`             // lost before they came here
	Sections     []Section       `json:"sections"`
}

// Section is the state of a section of a host. Times are by our clock.
type Section struct {
	ID         facts.ID     `json:"-"`
	Name       string       `json:"name"`
	Status     facts.Status `json:"status"` // stale: the rows are from before the last reading, which failed
	Reason     string       `json:"reason,omitempty"`
	Rows       int          `json:"rows"`
	ObservedAt time.Time    `json:"observed_at,omitzero"` // last reading
	KnownAt    time.Time    `json:"known_at,omitzero"`    // last reading that gave the rows
}

// HostQuery selects hosts; empty fields select all.
type HostQuery struct {
	Name  string          // part of the name, any case
	Tag   string          // one of the tags, exact
	OS    string          // part of the operating system's name, id or version, any case
	After identity.HostID // hosts with greater ids: where the last page ended
	Limit int             // 0: all
}

// Hosts returns hosts in the order of their ids; more tells that there are others behind.
func (v *View) Hosts(q HostQuery) (hosts []Host, more bool, err error) {
	now := v.store.Now()
	err = v.store.View(func(tx *store.Tx) error {
		return tx.HostsFrom(q.After, func(sh store.Host) error {
			if sh.ID == q.After || !q.fitsStored(sh) {
				return nil
			}
			h, err := readHost(tx, sh, now)
			if err != nil {
				return err
			}
			if !q.fits(h) {
				return nil
			}
			if q.Limit > 0 && len(hosts) == q.Limit {
				more = true
				return store.ErrStop
			}
			hosts = append(hosts, h)
			return nil
		})
	})
	return hosts, more, err
}

func (q HostQuery) fitsStored(h store.Host) bool {
	return contains(h.Name, q.Name) && (q.Tag == "" || slices.Contains(h.Tags, q.Tag))
}

func (q HostQuery) fits(h Host) bool {
	return contains(h.OSName+" "+h.OSID+" "+h.OSVersion, q.OS)
}

func contains(s, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// Host returns one host by id, name, or the beginning of either where only one host fits.
func (v *View) Host(ref string) (h Host, err error) {
	now := v.store.Now()
	err = v.store.View(func(tx *store.Tx) error {
		sh, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		h, err = readHost(tx, sh, now)
		return err
	})
	return h, err
}

// Lookup finds the host that a person means; see Host.
func (v *View) Lookup(ref string) (r HostRef, err error) {
	err = v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		r = HostRef{h.ID, h.Name}
		return err
	})
	return r, err
}

// maxMatches is how many hosts an ambiguous name lists.
const maxMatches = 10

// unfound is ErrNotFound, with the number under which a removed host of that name has its past.
func unfound(tx *store.Tx, ref string) error {
	err := fmt.Errorf("host %q: %w; see `atalaya host list`", ref, ErrNotFound)
	failed := tx.AllHosts(identity.HostID{}, func(h store.Host) error {
		if h.Name == ref && !h.RemovedAt.IsZero() {
			why := cmp.Or(h.RemovedWhy, "no reason given")
			err = fmt.Errorf("host %q: %w: it left the fleet at %s (%s); its past is told by its number, %s", ref, ErrNotFound, stamp(h.RemovedAt), why, h.ID)
			return store.ErrStop
		}
		return nil
	})
	return errors.Join(failed, err)
}

// FindHost finds the host that a person means by an id, a name, or the beginning of
// either where only one host fits. The errors are ErrNotFound and *AmbiguousError.
func FindHost(tx *store.Tx, ref string) (store.Host, error) {
	if id, err := identity.ParseHostID(ref); err == nil {
		if h, ok, err := tx.Host(id); ok || err != nil {
			return h, err
		}
	}
	var exact, prefix []store.Host
	err := tx.Hosts(func(h store.Host) error {
		if h.Name == ref {
			exact = append(exact, h)
		}
		if ref != "" && (strings.HasPrefix(h.Name, ref) || strings.HasPrefix(h.ID.String(), ref)) {
			prefix = append(prefix, h)
		}
		return nil
	})
	if err != nil {
		return store.Host{}, err
	}
	if len(exact) == 0 {
		exact = prefix
	}
	switch len(exact) {
	case 0:
		return store.Host{}, unfound(tx, ref)
	case 1:
		return exact[0], nil
	}
	e := &AmbiguousError{Ref: ref, More: max(0, len(exact)-maxMatches)}
	for _, h := range exact[:min(len(exact), maxMatches)] {
		e.Matches = append(e.Matches, HostRef{h.ID, h.Name})
	}
	return store.Host{}, e
}

// readHost joins what the store and the view keep of a host.
func readHost(tx *store.Tx, sh store.Host, now time.Time) (Host, error) {
	s, err := readSummary(tx, sh.Index)
	if err != nil {
		return Host{}, err
	}
	states, err := tx.Sections(sh.ID)
	if err != nil {
		return Host{}, err
	}
	h := Host{
		ID: sh.ID, Name: sh.Name, Tags: sh.Tags, OSID: s.OSID, OSName: s.OSName, OSVersion: s.OSVersion,
		Kernel: s.Kernel, Arch: s.Arch, Virtualised: s.Virtualised, Manufacturer: s.Manufacturer, Product: s.Product,
		Serial: s.Serial, CPUModel: s.CPUModel, Cores: s.Cores, Threads: s.Threads, MemoryBytes: s.MemoryBytes,
		Addresses: s.Addresses, AgentVersion: sh.AgentVersion, EnrolledAt: sh.EnrolledAt, LastSeen: sh.LastSeen,
		ClockOffset: sh.ClockOffset, Interval: sh.Interval, LossBatches: sh.LossBatches, Sections: []Section{},
	}
	if h.Arch == "" {
		h.Arch = sh.Arch
	}
	patch := Section{ID: facts.PatchState}
	for _, st := range states {
		sec := section(st, sh.ClockOffset)
		h.Sections = append(h.Sections, sec)
		switch st.Section {
		case facts.Packages:
			h.Packages = st.Rows
		case facts.PatchState:
			patch = sec
		}
	}
	h.Patch = judge(s.patchState, patch, sh.ClockOffset, now)
	return h, nil
}

// section gives a state in the form for people; offset corrects the agent's clock.
func section(st store.SectionState, offset time.Duration) Section {
	s := Section{
		ID: st.Section, Name: st.Section.String(), Status: st.Status, Reason: st.Reason, Rows: st.Rows,
		ObservedAt: ours(st.ObservedAt, offset), KnownAt: ours(st.KnownAt, offset),
	}
	if st.Stale() {
		s.Status = facts.StatusStale
		s.Reason = strings.TrimSuffix(st.Status.String()+": "+st.Reason, ": ")
	}
	return s
}

// minOffset is the least clock offset that is corrected: below it, it is mostly the
// time that the message took.
const minOffset = 2 * time.Second

// ours converts a moment of the agent's clock to ours.
func ours(t time.Time, offset time.Duration) time.Time {
	if t.IsZero() || offset.Abs() < minOffset {
		return t
	}
	return t.Add(-offset)
}

// SectionRows are the rows of a section of a host with its state.
type SectionRows struct {
	Host HostRef `json:"host"`
	Section
	Rows []facts.Row `json:"items"` // sorted by key
}

// Section returns the rows of a section of a host. A section that the host never
// reported has status unknown.
func (v *View) Section(ref, name string) (SectionRows, error) {
	sec, ok := facts.ByName(name)
	if !ok {
		return SectionRows{}, fmt.Errorf("section %q: %w", name, ErrNotFound)
	}
	out := SectionRows{Section: Section{ID: sec.ID, Name: sec.Name}, Rows: []facts.Row{}}
	err := v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		out.Host = HostRef{h.ID, h.Name}
		states, err := tx.Sections(h.ID)
		if err != nil {
			return err
		}
		for _, st := range states {
			if st.Section == sec.ID {
				out.Section = section(st, h.ClockOffset)
			}
		}
		return tx.Rows(h.ID, sec.ID, func(_ string, data []byte) error {
			row, err := wire.DecodeRow(sec.ID, data)
			out.Rows = append(out.Rows, row)
			return err
		})
	})
	return out, err
}
