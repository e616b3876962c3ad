package collector

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/collector/asset"
	"atalaya/collector/query"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

func TestAssetsInSQLJoinHostsAndHaveAPast(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s, err := store.Open(store.Config{Path: filepath.Join(t.TempDir(), store.FileName), NoSync: true, Now: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // the test is over
	q, err := query.New(query.Config{Store: s, Now: clock, Tables: []query.Table{assetsTable(), assetHistoryTable(), assetFieldsTable()}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() // the test is over
	err = s.Update(func(tx *store.Tx) error {
		return tx.PutHost(store.Host{ID: identity.HostID{1}, Name: "web1", EnrolledAt: now, Tags: []string{"web"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	book := asset.New(s)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(book.Define(asset.Field{Name: "rack_units", Type: asset.Number}, "ana"))
	must(book.Define(asset.Field{Name: "leased", Type: asset.Bool}, "ana"))
	_, err = book.Add(asset.Edit{By: "ana", Set: map[string]string{"asset_tag": "IT-1", "name": "web1", "price": "99.5 EUR", "rack_units": "2", "leased": "no", "owner": "Ana"}})
	must(err)
	_, err = book.Lock("IT-1", []string{"owner"}, "cfo", "audit")
	must(err)
	now = now.Add(time.Hour)
	_, err = book.Unlock("IT-1", []string{"owner"}, "cfo", "")
	must(err)
	_, _, err = book.Change("IT-1", asset.Edit{By: "ben", Why: "moved", Set: map[string]string{"owner": "Ben"}})
	must(err)
	f := func(sql string, want ...string) {
		t.Helper()
		a, err := q.Run(t.Context(), query.Request{SQL: sql})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		var got []string
		for _, row := range a.Rows {
			got = append(got, strings.Trim(fmt.Sprint(row), "[]"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", sql, diff)
		}
	}
	f("select a.asset, h.name, a.owner, a.price, a.currency, a.tags, a.custom, a.locked, a.changed_by from assets a join hosts h using (host_id)",
		`A1 web1 Ben 99.50 EUR ["web"] {"leased":false,"rack_units":2} [] ben`)
	f("select n.owner, b.owner, b.locked from assets n join assets('-30m') b using (asset)", `Ben Ana ["owner"`)
	f("select h.name, b.owner, n.owner from hosts h left join assets('-30m') b using (host_id) left join assets n using (host_id)", "web1 Ana Ben")
	f("select h.name, b.owner from hosts h left join assets('-2h') b using (host_id)", "web1 <nil>")
	f("select count(*) from assets('-2h')", "0")
	f("select kind, field, old, new, note from asset_history where field = 'owner' order by seq",
		"added owner <nil> Ana <nil>", "locked owner <nil> <nil> audit", "unlocked owner <nil> <nil> <nil>", "changed owner Ana Ben moved")
	f("select json_extract(custom, '$.rack_units') > 40, custom ->> 'rack_units' < 10, json_extract(custom, '$.leased') = 0 from assets", "0 1 1")
	f("select field, type from asset_fields where custom order by 2", "leased bool", "rack_units number")
	f("select name from hosts where host_id not in (select host_id from assets where host_id is not null)")
}
