package query

import (
	"encoding/json"
	"errors"
	"iter"
	"slices"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// Rows makes a Scan of a function that fills the row and calls yield for each; yield
// returns store.ErrStop when the query has enough.
func Rows(width int, fill func(s Scan, row []any, yield func() error) error) func(Scan) iter.Seq2[[]any, error] {
	return func(s Scan) iter.Seq2[[]any, error] {
		return func(yield func([]any, error) bool) {
			row := make([]any, width)
			err := fill(s, row, func() error {
				if !yield(row, nil) {
					return store.ErrStop
				}
				return nil
			})
			if err != nil && !errors.Is(err, store.ErrStop) {
				yield(nil, err)
			}
		}
	}
}

func hostsTable() Table {
	t := Table{
		Name: "hosts", Doc: "machines with an agent", Past: true, Rows: 10_000,
		Columns: []TableColumn{
			{Name: "host_id", Type: "TEXT", Doc: "number given at enrolment", Key: true},
			{Name: "name", Type: "TEXT", Doc: "as the host reports it", Key: true},
			{Name: "platform", Type: "TEXT", Doc: "linux, windows, darwin, freebsd"},
			{Name: "arch", Type: "TEXT", Doc: "of the agent: amd64, arm64"},
			{Name: "agent_version", Type: "TEXT"},
			{Name: "enrolled_at", Type: "TEXT"},
			{Name: "last_seen", Type: "TEXT", Doc: "last message of any kind"},
			{Name: "clock_offset_seconds", Type: "REAL", Doc: "the host's clock minus the collector's"},
			{Name: "interval_seconds", Type: "REAL", Doc: "between readings of its metrics"},
			{Name: "lost_batches", Type: "INTEGER", Doc: "that the agent had to drop"},
			{Name: "tags", Type: "TEXT", Doc: "JSON list"},
			{Name: "removed_at", Type: "TEXT", Doc: "set for hosts of the past that are removed now"},
		},
	}
	t.One = func(s Scan) ([]any, bool, error) {
		if _, by := s.Filter[columnHostID]; !by {
			return nil, false, nil
		}
		st, err := s.State()
		if err != nil {
			return nil, false, err
		}
		indexes, _, err := s.hosts()
		if err != nil || len(indexes) == 0 {
			return nil, true, err
		}
		row, err := s.session.hostRow(st, indexes[0])
		return row, true, err
	}
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		give := func(values []any, err error) error {
			if err != nil || values == nil {
				return err
			}
			copy(row, values)
			return yield()
		}
		st, err := s.State()
		if err != nil {
			return err
		}
		indexes, only, err := s.hosts()
		switch {
		case err != nil:
			return err
		case !only:
			return st.Hosts(func(h store.Host) error { return give(s.session.hostValues(h)) })
		}
		for _, index := range indexes {
			if err := give(s.session.hostRow(st, index)); err != nil {
				return err
			}
		}
		return nil
	})
	return t
}

// hostAt is a host in a state.
type hostAt struct {
	state *store.State
	index uint32
}

// hostRow returns the row of a host, nil when it was not there. Joins ask for the same
// hosts again and again.
func (s *session) hostRow(st *store.State, index uint32) ([]any, error) {
	row, ok := s.hostRows[hostAt{st, index}]
	if ok {
		return row, nil
	}
	h, there, err := st.Host(index)
	if err == nil && there {
		row, err = s.hostValues(h)
	}
	if err == nil && len(s.hostRows) < maxKnown {
		s.hostRows[hostAt{st, index}] = row
	}
	return row, err
}

// hostValues is a host as a row of its table.
func (s *session) hostValues(h store.Host) ([]any, error) {
	tags := []byte("[]")
	if len(h.Tags) > 0 {
		var err error
		if tags, err = json.Marshal(h.Tags); err != nil {
			return nil, err
		}
	}
	return []any{
		s.meet(h.ID, h.Index, h.Name).id, h.Name, text(h.OS), text(h.Arch), text(h.AgentVersion), Time(h.EnrolledAt), Time(h.LastSeen),
		h.ClockOffset.Seconds(), h.Interval.Seconds(), int64(h.LossBatches), string(tags), Time(h.RemovedAt),
	}, nil
}

// text is a value that is not known when it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func sectionStatusTable() Table {
	t := Table{
		Name: "section_status", Doc: "how the last reading of each section went", Past: true, Rows: 500_000,
		Columns: append(slices.Clone(hostColumns),
			TableColumn{Name: "section", Type: "TEXT"},
			TableColumn{Name: "status", Type: "TEXT", Doc: "ok, partial, empty, unsupported, denied, failed"},
			TableColumn{Name: "reason", Type: "TEXT"},
			TableColumn{Name: "observed_at", Type: "TEXT", Doc: "last reading, whatever its outcome; the host's clock"},
			TableColumn{Name: "known_at", Type: "TEXT", Doc: "last reading that gave the rows; the host's clock"},
			TableColumn{Name: "row_count", Type: "INTEGER"},
			TableColumn{Name: "stale", Type: "INTEGER", Doc: "1: the rows are from an earlier reading"}),
	}
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		return s.eachHost(func(st *store.State, host store.Host) error {
			list, err := st.Sections(host.Index)
			if err != nil {
				return err
			}
			h := s.session.meet(host.ID, host.Index, host.Name)
			for _, sec := range list {
				copy(row, []any{
					h.id, h.name, sec.Section.String(), sec.Status.String(), text(sec.Reason),
					Time(sec.ObservedAt), Time(sec.KnownAt), int64(sec.Rows), sec.Stale(),
				})
				if err := yield(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return t
}

// eachHost calls fn for the hosts that the query names, or for all.
func (q *Scan) eachHost(fn func(*store.State, store.Host) error) error {
	st, err := q.session.state(q.AsOf)
	if err != nil {
		return err
	}
	indexes, only, err := q.hosts()
	if err != nil {
		return err
	}
	if !only {
		return st.Hosts(func(h store.Host) error { return fn(st, h) })
	}
	for _, index := range indexes {
		h, there, err := st.Host(index)
		if err == nil && there {
			err = fn(st, h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func softwareTable() Table {
	const name = 0
	t := Table{
		Name: "software", Doc: "versions of packages in the fleet, with the number of hosts that have each", Past: true, Rows: 100_000,
		Columns: []TableColumn{
			{Name: "name", Type: "TEXT", Key: true}, {Name: "version", Type: "TEXT"}, {Name: "arch", Type: "TEXT"},
			{Name: "source", Type: "TEXT", Doc: "package system"}, {Name: "hosts", Type: "INTEGER", Doc: "that have it"},
		},
	}
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		st, err := s.session.state(s.AsOf)
		if err != nil {
			return err
		}
		give := func(it store.Item) error {
			n, err := st.Count(it)
			if err != nil || n == 0 {
				return err
			}
			r, err := wire.DecodeRow(it.Section, it.Data)
			if err != nil {
				return err
			}
			if p, ok := r.(*facts.PackageRow); ok {
				copy(row, []any{p.Name, p.Version, text(p.Arch), p.Source, int64(n)})
			}
			return yield()
		}
		s.session.reads(facts.Packages, s.AsOf, nil, false)
		if want, ok := s.Filter[name]; ok {
			return st.ItemsNamed(facts.Packages, want, give)
		}
		return st.Items(facts.Packages, "", give)
	})
	return t
}
