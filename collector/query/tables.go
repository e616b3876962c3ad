package query

import (
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

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
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		give := func(h store.Host) error {
			tags := []byte("[]")
			if len(h.Tags) > 0 {
				var err error
				if tags, err = json.Marshal(h.Tags); err != nil {
					return err
				}
			}
			copy(row, []any{
				s.session.meet(h).id, h.Name, text(h.OS), text(h.Arch), text(h.AgentVersion), Time(h.EnrolledAt), Time(h.LastSeen),
				h.ClockOffset.Seconds(), h.Interval.Seconds(), int64(h.LossBatches), string(tags), Time(h.RemovedAt),
			})
			return yield()
		}
		return s.eachHost(func(_ *store.State, h store.Host) error { return give(h) })
	})
	return t
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
			h := s.session.meet(host)
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

func changesTable() Table {
	const section, came = 3, 8
	t := Table{
		Name: "changes", Doc: "what became different on hosts, for as long as history is kept",
		Columns: []TableColumn{
			{Name: "seq", Type: "INTEGER", Doc: "number in the log"},
			hostColumns[0], hostColumns[1],
			{Name: "section", Type: "TEXT", Key: true},
			{Name: "kind", Type: "TEXT", Doc: "added, changed, removed, status, baseline (the first reading), cleared"},
			{Name: "item", Type: "TEXT", Doc: "key of the row; its parts with spaces between"},
			{Name: "old", Type: "TEXT", Doc: "the row before, JSON"},
			{Name: "new", Type: "TEXT", Doc: "the row after, JSON"},
			{Name: "at", Type: "TEXT", Doc: "when it came about, by the collector's clock", Range: true},
			{Name: "observed_at", Type: "TEXT", Doc: "by the host's clock"},
			{Name: "received_at", Type: "TEXT", Doc: "by the collector's clock"},
			{Name: "row_count", Type: "INTEGER", Doc: "of a baseline or a clearing"},
		},
	}
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		q := store.FleetQuery{}
		if name, ok := s.Filter[section]; ok {
			sec, ok := facts.ByName(name)
			if !ok {
				return nil
			}
			q.Section = sec.ID
		}
		if above, ok := s.Above[came]; ok { // what was received before did not come about after
			if at, err := moment(above, s.session.now); err == nil {
				q.From = at.Add(-time.Second)
			}
		}
		return s.eachChange(q, func(c store.Change) error {
			if err := fillChange(&s, row, c); err != nil {
				return err
			}
			return yield()
		})
	})
	return t
}

// fewHosts is up to how many hosts changes are read from the logs of each.
const fewHosts = 8

// eachChange calls fn for the changes of the hosts that the query names, or of all.
func (q *Scan) eachChange(of store.FleetQuery, fn func(store.Change) error) error {
	const host = 1
	indexes, only, err := q.Hosts(host)
	if err != nil {
		return err
	}
	if only && len(indexes) > fewHosts {
		set := store.HostSetOf(indexes...)
		of.Hosts = &set
	}
	if !only || of.Hosts != nil {
		return q.Tx().ChangesBetween(of, fn)
	}
	for _, index := range indexes {
		id, _, err := q.Tx().HostByIndex(index)
		if err == nil {
			err = q.Tx().HostChanges(id, of.ChangeQuery, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func fillChange(s *Scan, row []any, c store.Change) error {
	const name, old, current, count = 2, 6, 7, 11
	if s.Wants(name-1) || s.Wants(name) {
		index, err := s.session.index(c.Host)
		if err != nil {
			return err
		}
		h, err := s.session.host(index)
		if err != nil {
			return err
		}
		row[name-1], row[name] = h.id, h.name
	}
	row[0], row[3], row[4] = int64(c.Seq), c.Section.String(), c.Kind.String()
	row[5] = text(strings.Join(facts.KeyParts(c.Key), " "))
	row[8], row[9], row[10] = Time(c.At), Time(c.Observed), Time(c.Received)
	row[old], row[current], row[count] = nil, nil, nil
	var err error
	if c.Rows > 0 {
		row[count] = int64(c.Rows)
	}
	if s.Wants(old) {
		row[old], err = changeText(c, c.Old)
	}
	if err == nil && s.Wants(current) {
		row[current], err = changeText(c, c.New)
	}
	return err
}

// changeText is one side of a change, as JSON.
func changeText(c store.Change, data []byte) (any, error) {
	if data == nil {
		return nil, nil
	}
	var doc any
	switch c.Kind {
	case store.StatusChanged, store.Baseline, store.Cleared:
		status, reason := store.DecodeStatus(data)
		doc = map[string]string{"status": status.String(), "reason": reason}
	default:
		var err error
		if doc, err = wire.DecodeRow(c.Section, data); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(doc)
	return string(b), err
}
