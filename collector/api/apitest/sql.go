package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
)

// SQL implements api.Queries: every query is answered with the hosts' names and
// addresses, one that says "wrong" is refused.
func (f *Fleet) SQL(_ context.Context, r v1.SQLRequest, _ time.Time) (out v1.SQLAnswer, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Saved != "" {
		i := slices.IndexFunc(f.saved, func(q v1.SavedQuery) bool { return q.Name == r.Saved })
		if i < 0 {
			return out, fmt.Errorf("%w: no such saved query %q", api.ErrNotFound, r.Saved)
		}
		r.SQL = f.saved[i].SQL
	}
	switch {
	case f.fail != nil:
		return out, f.fail
	case r.SQL == "wrong":
		return out, fmt.Errorf("%w: near \"wrong\": syntax error", api.ErrInvalid)
	case r.SQL == "endless":
		return out, fmt.Errorf("%w: it took longer than 20s", api.ErrTooMuch)
	case r.Explain:
		out.Columns = []v1.SQLColumn{{Name: "id"}, {Name: "parent"}, {Name: "notused"}, {Name: "detail"}}
		out.Rows = [][]any{{int64(2), int64(0), int64(0), "SCAN hosts VIRTUAL TABLE INDEX 0:1 all rows"}}
		return out, nil
	}
	out.Columns = []v1.SQLColumn{{Name: "name", Type: "TEXT"}, {Name: "memory_bytes", Type: "INTEGER"}, {Name: "note"}}
	for _, h := range f.HostList {
		out.Rows = append(out.Rows, []any{h.Name, h.MemoryBytes, nil})
	}
	out.Scanned, out.ElapsedSeconds = int64(len(out.Rows)), 0.0021
	return out, nil
}

// SQLSchema implements api.Queries.
func (f *Fleet) SQLSchema() v1.SQLSchema {
	return v1.SQLSchema{
		Tables: []v1.SQLTable{{Name: "hosts", Doc: "machines with an agent", Past: true, Columns: []v1.SQLTableColumn{
			{Name: "host_id", Type: "TEXT", Doc: "number given at enrolment", Key: true}, {Name: "name", Type: "TEXT"},
		}}},
		Functions: []v1.SQLFunction{{Usage: "age(time)", Doc: "seconds since a time"}},
	}
}

// SavedQueries implements api.Queries.
func (f *Fleet) SavedQueries() ([]v1.SavedQuery, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.saved), f.fail
}

// SaveQuery implements api.Queries.
func (f *Fleet) SaveQuery(_ context.Context, q v1.SavedQuery, replace bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	q.SavedAt = f.Now
	if i := slices.IndexFunc(f.saved, func(s v1.SavedQuery) bool { return s.Name == q.Name }); i >= 0 {
		if !replace {
			return fmt.Errorf("%w: %q is saved already", api.ErrConflict, q.Name)
		}
		q.Note = cmp.Or(q.Note, f.saved[i].Note)
		f.saved = slices.Delete(f.saved, i, i+1)
	}
	f.saved = append(f.saved, q)
	return f.fail
}

// ForgetQuery implements api.Queries.
func (f *Fleet) ForgetQuery(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.saved, func(q v1.SavedQuery) bool { return q.Name == name })
	if f.fail != nil || i < 0 {
		return cmp.Or(f.fail, fmt.Errorf("%w: no such saved query %q", api.ErrNotFound, name))
	}
	f.saved = slices.Delete(f.saved, i, i+1)
	return nil
}
