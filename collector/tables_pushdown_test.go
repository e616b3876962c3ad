package collector

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/asset"
	"atalaya/collector/cmdb"
	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/query"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	hostid "atalaya/shared/identity"
	"atalaya/shared/metric"
)

// madeTexts are what made rows say: names that begin alike, paths, versions, numbers.
var madeTexts = []string{
	"Debian GNU/Linux 12 (bookworm)", "ssh", "ssh-agent", "/etc/cron.d/e2scrub", "e2scrub", "12", "1:2.36.1-8+deb12u2", "dpkg", "tank", "é",
	"Debian", "/etc/xdg/autostart/at-spi-dbus-bus.desktop", "apparmor", "root", "0 4 * * *", "rpool", "02", "10.0.0.1", "enforce",
}

// madeKinds are words of closed lists.
var madeKinds = []string{"dpkg", "rpm", "xdg", "npm"}

// madeRow fills every column of a row, each with another value than its neighbours and
// than the same column of the rows before.
func madeRow(s facts.Section, n int) facts.Row {
	row := s.New()
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		f, at := v.Field(i), i*5+n*7
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		switch name := v.Type().Field(i).Name; {
		case slices.Contains([]string{"Source", "Kind", "Type", "Manager", "Runtime"}, name):
			f.SetString(madeKinds[n%len(madeKinds)])
		case f.Type() == reflect.TypeFor[facts.Time]():
			f.SetInt(1_790_000_000_000 + int64(at)*1_000_250)
		case f.Kind() == reflect.String:
			f.SetString(madeTexts[at%len(madeTexts)])
		case f.CanInt():
			f.SetInt(int64(at % 11))
		case f.CanUint():
			f.SetUint(uint64(at % 11))
		case f.CanFloat():
			f.SetFloat(float64(at%11) / 4)
		case f.Kind() == reflect.Bool:
			f.SetBool(n%2 == 0)
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{madeTexts[at%len(madeTexts)], "x"}))
		}
	}
	return row
}

// sampleRows are the rows of a section that probes read of recorded hosts, and made ones.
func sampleRows(t *testing.T, s facts.Section) []facts.Row {
	files, err := filepath.Glob("../testdata/hosts/*.want/" + s.Name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []facts.Row
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			row := s.New()
			if json.Unmarshal(lines.Bytes(), row) == nil && len(out) < 10 {
				out = append(out, row)
			}
		}
	}
	for n := range 6 {
		out = append(out, madeRow(s, n))
	}
	return out
}

// tablesFleet is an engine with every table, each of which has rows now, and had others at
// the moment then.
func tablesFleet(t *testing.T) (e *query.Engine, then time.Time) {
	t0 := time.Date(2026, 11, 20, 8, 0, 0, 250e6, time.UTC)
	f := storetest.New(t, t0)
	f.Step = 130 * time.Millisecond
	log := slog.New(slog.DiscardHandler)
	db, err := series.Open(series.Config{Dir: filepath.Join(t.TempDir(), "metrics"), Log: log, Now: func() time.Time { return f.Now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // the test is over
	if err := db.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := db.Begin(t.Context())
	for _, host := range []string{"web1", "web2"} {
		a.AppendOwn(t0.UnixMilli(), "node_load1", []metric.Label{{Name: "host", Value: host}, {Name: "host_id", Value: "1" + host}}, 0.5)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	alerts, err := alert.Open(alert.Config{Store: f.Store, Query: db, Record: db, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	book := asset.New(f.Store)
	web1, web2 := f.Host(1, "web1", "web"), f.Host(2, "web2")
	report := func(skip int) {
		for _, s := range facts.Sections() {
			rows := sampleRows(t, s)
			f.Report(web1, s.ID, slices.Clone(rows[skip:])...)
			f.Report(web2, s.ID, slices.Clone(rows[:len(rows)-skip])...)
		}
	}
	note := func(kind identity.Kind, tag string) {
		for _, host := range []hostid.HostID{web1, web2} {
			f.Do(func(tx *store.Tx) error {
				return ledger.Note(tx, host, identity.Event{At: f.Now, Kind: kind, Text: "told by " + tag, By: "ana"})
			})
		}
		for _, tag := range []string{tag, tag + "b"} {
			_, err := book.Add(asset.Edit{By: "ana", Set: map[string]string{"asset_tag": tag, "name": "of " + tag, "price": "99.5 EUR", "owner": "Ana"}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	report(3)
	note(identity.Enrolled, "IT-1")
	then = f.Now
	f.Now = f.Now.Add(time.Hour)
	report(1)
	note(identity.Contested, "IT-2")
	if err := cmdb.New(f.Store).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &collector{store: f.Store, series: db, alerts: alerts}
	e, err = query.New(query.Config{Store: f.Store, Now: func() time.Time { return f.Now }, Tables: c.tables()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() }) // the test is over
	return e, then
}

// TestEveryColumnOfEveryTableIsFoundByItsValue: what is equal to a value, in a list, or
// beside it is what the whole table says, in every table and column, now and then.
func TestEveryColumnOfEveryTableIsFoundByItsValue(t *testing.T) {
	e, then := tablesFleet(t)
	for _, table := range e.Tables() {
		for _, asOf := range []time.Time{{}, then} {
			if asOf.IsZero() || table.Past {
				foundByValue(t, e, table, asOf)
			}
		}
	}
}

func foundByValue(t *testing.T, e *query.Engine, table query.Table, asOf time.Time) {
	t.Helper()
	ask := func(rest string) [][]any {
		t.Helper()
		a, err := e.Run(context.Background(), query.Request{SQL: "select t.* from " + table.Name + " t" + rest, AsOf: asOf})
		if err != nil {
			t.Fatalf("%s%s: %v", table.Name, rest, err)
		}
		return a.Rows
	}
	also := ""
	if table.Name == "samples" {
		if also = " and t.metric = 'node_load1'"; asOf.IsZero() {
			return // its moments are those of each query
		}
	}
	all := ask(" where 1" + also)
	if len(all) < 2 && table.Name != "alerts" {
		t.Fatalf("%s has %d rows: nothing is told apart", table.Name, len(all))
	}
	for n := range min(len(all), 40) { // a query that has enough stops in the middle of a host
		if got := ask(fmt.Sprintf(" where 1%s limit %d", also, n+1)); !reflect.DeepEqual(got, all[:n+1]) {
			t.Errorf("%s: the first %d rows are\n%v\nof\n%v", table.Name, n+1, got, all)
		}
	}
	ops := []string{"=", "<", ">="}
	if !asOf.IsZero() {
		ops = ops[:1]
	}
	for i, column := range table.Columns {
		name := fmt.Sprintf(`t.%q`, column.Name)
		values := distinct(all, i)
		for _, v := range values {
			for _, op := range ops {
				same(t, table.Name, " where "+name+" "+op+" "+literal(v)+also, ask, all, func(row []any) bool { return holds(row[i], op, v) })
			}
			if !column.Key {
				continue // joins come to it as to any value
			}
			same(t, table.Name, " join (select "+literal(v)+" as v union select 'none') w on "+name+" = w.v"+also, ask, all, func(row []any) bool { return holds(row[i], "=", v) })
		}
		if len(values) > 0 {
			list := "'none'"
			for _, v := range values {
				list += ", " + literal(v)
			}
			same(t, table.Name, " where "+name+" in ("+list+")"+also, ask, all, func(row []any) bool { return slices.Contains(values, row[i]) })
		}
	}
}

// same compares what a query gives with the rows of the whole table that it should give.
func same(t *testing.T, table, rest string, ask func(string) [][]any, all [][]any, want func([]any) bool) {
	t.Helper()
	lines := func(rows [][]any, want func([]any) bool) []string {
		var out []string
		for _, row := range rows {
			if want(row) {
				out = append(out, fmt.Sprint(row...))
			}
		}
		slices.Sort(out)
		return out
	}
	got, wanted := lines(ask(rest), func([]any) bool { return true }), lines(all, want)
	if !slices.Equal(got, wanted) {
		t.Errorf("%s%s: %d rows, want %d", table, rest, len(got), len(wanted))
	}
}

// distinct returns some of the values of a column.
func distinct(rows [][]any, column int) []any {
	var out []any
	for i := 0; i < len(rows) && len(out) < 3; i += 1 + len(rows)/20 {
		if v := rows[i][column]; v != nil && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func literal(v any) string {
	if s, ok := v.(string); ok {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return fmt.Sprint(v)
}

func holds(v any, op string, with any) bool {
	order := 0
	switch v := v.(type) {
	case nil:
		return false
	case string:
		order = strings.Compare(v, with.(string))
	case int64:
		order = int(v - with.(int64))
	case float64:
		order = int((v - with.(float64)) * 1e6)
	}
	return order < 0 && op[0] == '<' || order > 0 && op[0] == '>' || order == 0 && strings.Contains(op, "=")
}
