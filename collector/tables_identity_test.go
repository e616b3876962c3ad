package collector

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/query"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	hostid "atalaya/shared/identity"
)

func TestIdentityEventsInSQL(t *testing.T) {
	t0 := time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC)
	f := storetest.New(t, t0)
	defer f.Close()
	web, db := f.Host(1, "web1"), f.Host(2, "db1")
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	for _, e := range []struct {
		host hostid.HostID
		identity.Event
	}{
		{web, identity.Event{At: t0, Kind: identity.Enrolled, Text: "a host of its own"}},
		{db, identity.Event{At: t0, Kind: identity.Enrolled, Text: "a host of its own", Lines: []identity.Line{{}}}},
		{web, identity.Event{At: hour(1), Kind: identity.Contested, Text: "two agents"}},
		{web, identity.Event{At: hour(3), Kind: identity.Contested, Text: "two agents"}},
		{db, identity.Event{At: hour(2), Kind: identity.Merged, By: "ann", Text: "web1 is part of it", Merge: 7}},
	} {
		f.Do(func(tx *store.Tx) error { return ledger.Note(tx, e.host, e.Event) })
	}
	f.Now = hour(4)
	q, err := query.New(query.Config{Store: f.Store, Now: func() time.Time { return f.Now }, Tables: []query.Table{identityEventsTable()}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() // the test is over
	f.Do(func(tx *store.Tx) error { return tx.RemoveHost(web, hour(4), "sold") })
	for _, c := range []struct {
		asOf time.Time
		sql  string
		want [][]any
	}{
		{time.Time{}, "select host, at, kind, times, last_at from identity_events where host = 'web1' order by at", [][]any{
			{"web1", "2026-03-14T09:30:00Z", "enrolled", int64(1), nil}, {"web1", "2026-03-14T10:30:00Z", "contested", int64(2), "2026-03-14T12:30:00Z"}}},
		{time.Time{}, "select host, event_by, reason, merge, weighed from identity_events where kind = 'merged'", [][]any{{"db1", "ann", "web1 is part of it", int64(7), "[]"}}},
		{time.Time{}, "select count(*), sum(json_array_length(weighed)) from identity_events where host_id = '" + db.String() + "'", [][]any{{int64(2), int64(1)}}},
		{time.Time{}, "select count(*) from identity_events", [][]any{{int64(4)}}},
		{hour(1), "select kind, times, last_at from identity_events where host = 'web1' order by at", [][]any{{"enrolled", int64(1), nil}, {"contested", nil, nil}}},
		{t0, "select count(*) from identity_events", [][]any{{int64(2)}}},
		{time.Time{}, "select count(*) from identity_events('2026-03-14T11:30:00Z') where kind = 'merged'", [][]any{{int64(1)}}},
	} {
		a, err := q.Run(t.Context(), query.Request{SQL: c.sql, AsOf: c.asOf})
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if d := cmp.Diff(c.want, a.Rows); d != "" {
			t.Errorf("%s as of %v (-want +got):\n%s", c.sql, c.asOf, d)
		}
	}
}
