package query

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// newOddFleet is a fleet whose rows hold what SQLite may compare in another way than Go.
func newOddFleet(t testing.TB) *fleet {
	f := newFleet(t)
	texts := []string{"", "a", "A", "a\x00b", "ab", "5", "05", "5.0", " 5", "1e3", "inf", "é", "3.0.11-1", "b'c", "+5", "x"}
	numbers := []int64{0, 5, -5, 1000, 1 << 53, 1<<53 + 1, 1<<63 - 1}
	for host, name := range []string{"5", "a", "web"} {
		id := f.Host(byte(host+1), name)
		for moment := range 2 {
			var users, services, addresses []facts.Row
			for i, text := range texts {
				if (i+moment)%5 == host {
					continue
				}
				users = append(users, &facts.UserRow{Name: text + "n", UID: numbers[(i+host)%len(numbers)], Shell: text, Home: texts[(i+3)%len(texts)]})
				services = append(services, &facts.ServiceRow{Name: text, State: texts[(i+host)%len(texts)], Enabled: texts[(i*3+moment)%len(texts)]})
				addresses = append(addresses, &facts.AddressRow{Interface: text, Address: texts[(i+host)%len(texts)], Prefix: int(numbers[i%4])})
			}
			f.Report(id, facts.Users, users...)
			f.Report(id, facts.Services, services...)
			f.Report(id, facts.Addresses, addresses...)
		}
	}
	return f
}

// TestConditionsChangeNoAnswer: whatever is compared with whatever, an answer is the one that
// SQLite gives when it is handed all rows, which a query that speaks of collations is.
func TestConditionsChangeNoAnswer(t *testing.T) {
	f := newOddFleet(t)
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	column := func() string {
		return pick("u.name", "u.shell", "u.home", "u.uid", "u.host", "s.name", "s.state", "s.enabled", "s.host_id", "d.address", "d.interface", "d.prefix")
	}
	value := func() string {
		return pick("5", "5.0", "'5'", "'05'", "' 5'", "'a'", "'A'", "''", "null", "x'61'", "x'35'", "-5", "1e3", "'1e3'", "'é'", "char(97, 0, 98)", "9007199254740993", "9007199254740992.0",
			"9223372036854775807", "1e300", "'web'", "cast('5' as integer)", "cast(5 as text)", "(select max(uid) from users)", "(select min(state) from services)", "'b''c'", "moment('-1d')", "lower('A')", column())
	}
	var term func(depth int) string
	term = func(depth int) string {
		switch n := rng.IntN(10); {
		case depth > 0 && n < 4:
			return "(" + term(depth-1) + pick(" and ", " and ", " or ") + term(depth-1) + ")"
		case n == 4:
			return column() + " in (" + value() + ", " + value() + ")"
		case n == 5:
			return column() + " between " + value() + " and " + value()
		case n == 6:
			return column() + pick(" like '5%'", " is null", " is not null", " is "+value(), " glob 'a*'", " in (select home from users)")
		case n == 7:
			return value() + pick(" = ", " < ", " >= ") + column()
		}
		return column() + pick(" = ", " == ", " < ", " <= ", " > ", " >= ", " <> ") + value()
	}
	for i := range 250 {
		sql := "select u.name, u.uid, s.name, s.state, d.address from " + pick("users u", "users('now') u") + pick(" join ", " left join ", " left join ") + "services s on s.host_id = u.host_id and " + term(1) +
			pick(" join ", " left join ") + "addresses d on d.host = u.host and d.interface = s.name where " + term(2) + pick("", " and "+term(1))
		if pick("", "union") != "" {
			sql = "select u.name, u.uid, s.x from users u, (select uid as x from users where home > 'b' union all select state from services) s where " +
				strings.NewReplacer("s.name", "s.x", "s.state", "s.x", "s.enabled", "u.uid", "s.host_id", "u.home", "u.host", "u.shell", "d.prefix", "u.uid", "d.", "u.", "interface", "home", "address", "shell").Replace(term(2)) + " and u.shell = s.x"
		}
		ask := func(sql string) string {
			a, err := f.engine.Run(context.Background(), Request{SQL: sql, AsOf: []time.Time{{}, t0.Add(3500 * time.Millisecond)}[i%2]})
			if err != nil && !strings.Contains(err.Error(), "tables to its right") {
				t.Fatalf("%s: %v", sql, err)
			}
			if err != nil {
				return ""
			}
			rows := strings.Split(lines(a), "\n")
			slices.Sort(rows)
			return strings.Join(rows, "\n")
		}
		got := ask(sql)
		if want := ask(sql + " /* collate: all rows are compared by SQLite */"); got != want {
			t.Fatalf("%s:\ngot  %q\nwant %q", sql, got, want)
		}
	}
}

// TestConditionsSpareRows: an item that does not fit is looked at once, not for each host;
// and a list does not make the table be read once for each of its values.
func TestConditionsSpareRows(t *testing.T) {
	f := newFleet(t)
	const hosts = 20
	for i := range hosts {
		var rows []facts.Row
		for n := range 50 {
			rows = append(rows, &facts.ServiceRow{Name: fmt.Sprintf("unit-%d", n), State: []string{"running", "failed"}[n/49]})
		}
		f.Report(f.Host(byte(i+1), fmt.Sprintf("host%d", i)), facts.Services, rows...)
	}
	for _, c := range []struct {
		where   string
		rows    int
		scanned int64
		plan    string
	}{
		{"state = 'failed'", hosts, 49 + hosts, "all rows, testing state"},
		{"state = 'failed' and host = 'host3'", 1, 50, "by host, testing state"},
		{"state > 'failed'", 49 * hosts, 49*hosts + 1, "testing state"},
		{"state = 5", 0, 50 * hosts, "testing state"},
		{"state in ('failed', 'none')", hosts, 50 * hosts, "all rows"},
		{"name in ('unit-1', 'unit-49') and state in ('failed', 'none')", hosts, 2 * hosts, "by name"},
		{"name = 'unit-49' and state = 'failed'", hosts, hosts, "by name, testing state"},
		{"state = 'failed' collate nocase", hosts, 50 * hosts, "all rows"},
		{"state = null", 0, 0, "testing state"},
	} {
		a, err := f.engine.Run(context.Background(), Request{SQL: "select host, name from services where " + c.where})
		if err != nil || len(a.Rows) != c.rows || a.Scanned != c.scanned {
			t.Errorf("%s: %d rows, %d looked at, %v; want %d, %d", c.where, len(a.Rows), a.Scanned, err, c.rows, c.scanned)
		}
		if plan := f.ask(Request{SQL: "select host, name from services where " + c.where, Explain: true}); !strings.HasSuffix(plan, c.plan) {
			t.Errorf("%s: %s, want %q", c.where, plan, c.plan)
		}
	}
	_, err := f.engine.Run(context.Background(), Request{SQL: "select host from services where state = 'failed'", Limits: Limits{Scanned: 49}})
	if err == nil || !strings.Contains(err.Error(), "more than 49 rows") {
		t.Errorf("rows that do not fit are not counted: %v", err)
	}
}

// TestHostsLookedUpOneByOneAreThoseOfTheTable: also of the past, removed ones, and what is no host.
func TestHostsLookedUpOneByOneAreThoseOfTheTable(t *testing.T) {
	f := newOddFleet(t)
	gone := f.Host(7, "gone")
	f.Do(func(tx *store.Tx) error { return tx.RemoveHost(gone, f.Now, "sold") })
	for _, asOf := range []time.Time{{}, t0.Add(2500 * time.Millisecond), f.Now.Add(-time.Millisecond)} {
		for _, from := range []string{"hosts", "(select host_id from section_status union select 'x' union select null union select 5) i cross join hosts h using (host_id)"} {
			got := f.ask(Request{SQL: "select distinct name, host_id, tags, removed_at, enrolled_at from " + from + " where name > '' order by host_id", AsOf: asOf})
			want := f.ask(Request{SQL: "select name, host_id, tags, removed_at, enrolled_at from hosts where +host_id in (select host_id from section_status) or name = 'gone' order by host_id", AsOf: asOf})
			if strings.Contains(from, "cross") {
				want = f.ask(Request{SQL: "select name, host_id, tags, removed_at, enrolled_at from hosts where +host_id in (select host_id from section_status) order by host_id", AsOf: asOf})
			}
			if got != want {
				t.Errorf("%s as of %v:\ngot  %s\nwant %s", from, asOf, got, want)
			}
		}
	}
}
