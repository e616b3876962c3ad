package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

var t0 = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// fleet is a store with hosts that report whole sections, and an engine over it.
type fleet struct {
	*storetest.Fleet
	t      testing.TB
	engine *Engine
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := storetest.New(t, t0)
	f.Step = time.Second
	e, err := New(Config{Store: f.Store, Now: func() time.Time { return f.Now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fleet{Fleet: f, t: t, engine: e}
}

func deb(name, version string) *facts.PackageRow {
	return &facts.PackageRow{Name: name, Version: version, Arch: "amd64", Source: "dpkg", SizeBytes: 1000, InstalledAt: facts.TimeOf(t0)}
}

// three hosts; db1 lacks openssl, web2 gets a newer one a day later.
func newSmallFleet(t testing.TB) *fleet {
	f := newFleet(t)
	web1, web2, db1 := f.Host(1, "web1"), f.Host(2, "web2"), f.Host(3, "db1")
	f.Report(web1, facts.Packages, deb("openssl", "3.0.9-1"), deb("bash", "5.2-1"))
	f.Report(web2, facts.Packages, deb("openssl", "3.0.9-1"), deb("bash", "5.2-1"))
	f.Report(db1, facts.Packages, deb("bash", "5.2-1"))
	f.Report(web1, facts.ListeningSockets, &facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 443, Process: "nginx"})
	f.Report(web1, facts.Users, &facts.UserRow{Name: "root"}, &facts.UserRow{Name: "amy", UID: 1000, Shell: "/bin/bash"})
	f.Report(web1, facts.Groups, &facts.GroupRow{Name: "sudo", GID: 27, Members: []string{"amy", "bob"}})
	f.Now = t0.Add(24 * time.Hour)
	f.Report(web2, facts.Packages, deb("openssl", "3.0.11-1"), deb("bash", "5.2-1"))
	return f
}

// ask returns the answer as lines with "|" between values.
func (f *fleet) ask(r Request) string {
	f.t.Helper()
	a, err := f.engine.Run(context.Background(), r)
	if err != nil {
		f.t.Fatalf("%s: %v", r.SQL, err)
	}
	return lines(a)
}

func lines(a *Answer) string {
	var out []string
	for _, row := range a.Rows {
		var cells []string
		for _, v := range row {
			if v == nil {
				v = "NULL"
			}
			cells = append(cells, fmt.Sprint(v))
		}
		out = append(out, strings.Join(cells, "|"))
	}
	return strings.Join(out, "\n")
}

func TestQuestionsOfAdministrators(t *testing.T) {
	f := newSmallFleet(t)
	for _, c := range []struct{ sql, want string }{
		{"select name from hosts order by name", "db1\nweb1\nweb2"},
		{"select host, version from packages where name = 'openssl' order by host", "web1|3.0.9-1\nweb2|3.0.11-1"},
		{"select name from hosts where host_id not in (select host_id from packages where name = 'openssl')", "db1"},
		{"select host from packages where name = 'openssl' and vercmp(source, version, '3.0.11') < 0", "web1"},
		{"select count(*) from packages", "5"},
		{"select name, count(*) from packages group by name order by 2 desc, 1", "bash|3\nopenssl|2"},
		{"select name, version, hosts from software order by hosts desc, version", "bash|5.2-1|3\nopenssl|3.0.11-1|1\nopenssl|3.0.9-1|1"},
		{"select s.host, s.process, p.version from listening_sockets s join packages p on p.host_id = s.host_id and p.name = 'openssl' where s.port = 443", "web1|nginx|3.0.9-1"},
		{"select g.host, m.value from groups g, json_each(g.members) m where g.name = 'sudo' order by 2", "web1|amy\nweb1|bob"},
		{"select installed_at, size_bytes from packages where name='bash' and host='db1'", "2026-11-20T08:00:00Z|1000"},
		{"select shell, gecos from users where host = 'web1' and name = 'amy'", "/bin/bash|NULL"},
		{"select count(*) from packages where host = 'nobody' or host_id = 'x'", "0"},
		{"select name from hosts where name = 'WEB1' collate nocase", "web1"},
		{"select host from packages where name = 'OpenSSL' collate nocase and host = 'WEB2' collate nocase", "web2"},
		{"select a.name from hosts a join packages p on p.host = upper(a.name) collate nocase where p.name = 'openssl' order by 1", "web1\nweb2"},
		{"select section, status, row_count, stale from section_status where host = 'db1'", "packages|ok|1|0"},
		{"select host, item, json_extract(old, '$.version'), json_extract(new, '$.version') from changes where section = 'packages' and kind = 'changed'", "web2|dpkg openssl amd64|3.0.9-1|3.0.11-1"},
		{"select item, old_version, new_version from changes where kind = 'changed'", "dpkg openssl amd64|3.0.9-1|3.0.11-1"},
		{"select old_version, new_version, json_extract(old, '$.installed_at'), json_extract(new, '$.version') from changes where kind = 'changed'", "3.0.9-1|3.0.11-1|2026-11-20T08:00:00Z|3.0.11-1"},
		{"select kind, item, old, json_extract(new, '$.status'), old_version, new_version, row_count from changes where section = 'users'", "status|NULL|NULL|ok|NULL|NULL|NULL\nadded|amy|NULL|NULL|NULL|NULL|NULL\nadded|root|NULL|NULL|NULL|NULL|NULL"},
		{"select h.platform, h.tags, count(*) from changes c join hosts h using (host_id) where c.section = 'packages' group by 1, 2", "NULL|[]|9"},
		{"select count(*) from changes where at > '2026-11-21'", "1"},
		{"select count(*) from changes where at > moment('-2h') and host = 'web1'", "0"},
		{"select cidr_contains('10.0.0.0/8', '10.1.2.3'), cidr_contains('10.0.0.0/8', 'web1'), 'openssl' regexp '^open', age('2026-11-21') > 0, vercmp('deb', '1:1', null)", "1|NULL|1|1|NULL"},
	} {
		if got := f.ask(Request{SQL: c.sql}); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.sql, got, c.want)
		}
	}
}

// TestTheSecondOfAChangeShowsTheStateAfterIt: as it stands in the table of changes, of a host,
// as a condition and for the whole query; its exact moment tells two of one second apart.
func TestTheSecondOfAChangeShowsTheStateAfterIt(t *testing.T) {
	f := newFleet(t)
	f.Now, f.Step = t0.Add(250*time.Millisecond), 300*time.Millisecond
	web := f.Host(1, "web1")
	for _, v := range []string{"1", "2", "3"} { // at .250, .550, .850
		f.Report(web, facts.Packages, deb("bash", v))
	}
	f.Now = t0.Add(time.Hour)
	for _, c := range []struct{ sql, want string }{
		{"select p.version from changes c, packages(c.at) p where c.new_version = '2'", "3"},
		{"select c.new_version, p.version from changes c, packages(c.exact_at) p where kind = 'changed' order by 1", "2|2\n3|3"},
		{"select at, exact_at from changes where new_version = '3'", "2026-11-20T08:00:00Z|2026-11-20T08:00:00.850Z"},
		{"select new_version from changes where at >= '2026-11-20T08:00:00Z' and at <= '2026-11-20T08:00:00Z' and kind = 'changed'", "2\n3"},
		{"select version from packages('2026-11-20T08:00:00Z')", "3"},
		{"select version from packages('2026-11-20 08:00:00.6')", "2"},
		{"select version from packages where as_of = '59m59s'", "3"},
		{"select version from packages('-59m59s')", "3"},
		{"select moment('59m59s') = moment('-59m59s'), moment('1h30m'), moment('1w')", "1|2026-11-20T07:30:00Z|2026-11-13T09:00:00Z"},
	} {
		if got := f.ask(Request{SQL: c.sql}); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.sql, got, c.want)
		}
	}
	for _, moment := range []string{"0001-01-01", "0001-01-01T00:00:00Z", "1970-01-01", "2026-11-20T07:59:59Z"} {
		_, err := f.engine.Run(t.Context(), Request{SQL: "select name from packages('" + moment + "')"})
		if err == nil || !strings.Contains(err.Error(), "history does not reach back that far") {
			t.Errorf("packages('%s'): %v", moment, err)
		}
	}
	_, err := f.engine.Run(t.Context(), Request{SQL: "select name from packages('2026-11-20T07:00:00Z')"})
	if err == nil || !strings.Contains(err.Error(), "it begins at 2026-11-20T08:00:01Z") {
		t.Errorf("before the beginning: %v", err)
	}
	f.ask(Request{SQL: "select name from packages('2026-11-20T08:00:01Z')"}) // as the error names it
}

// TestAHostIsNotListedWhileItIsRemoved: as of a moment between its removal and its return, it
// is absent from every table; before and after it is there with its facts.
func TestAHostIsNotListedWhileItIsRemoved(t *testing.T) {
	f := newSmallFleet(t)
	web1 := identity.HostID{1}
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	f.Do(func(tx *store.Tx) error { return tx.RemoveHost(web1, hour(30), "sold") })
	f.Do(func(tx *store.Tx) error { return tx.ReviveHost(web1, hour(40)) })
	f.Do(func(tx *store.Tx) error { // what is told of a host leaves this alone
		h, _, err := tx.Host(web1)
		h.Tags = []string{"web"}
		return errors.Join(err, tx.PutHost(h))
	})
	f.Now = hour(50)
	for n, want := range map[int]string{29: "web1", 30: "", 39: "", 40: "web1", 50: "web1"} {
		for _, sql := range []string{
			"select name from hosts where name = 'web1'",
			"select h.name from hosts h join packages p using (host_id) where p.name = 'openssl' and h.name like 'web1'",
			"select host from packages where name = 'openssl' and host = 'web1'",
			"select distinct host from section_status where host = 'web1'",
		} {
			if got := f.ask(Request{SQL: sql, AsOf: hour(n)}); got != want {
				t.Errorf("after %d hours %s: %q, want %q", n, sql, got, want)
			}
		}
	}
}

// TestWhatIsNotKnownCountsAsAbsentAndIsSaid: an answer says on how many of the hosts that it
// asked about its sections are not known, and nothing where they are or cannot be.
func TestWhatIsNotKnownCountsAsAbsentAndIsSaid(t *testing.T) {
	f := newSmallFleet(t)
	ago := f.Host(4, "new1")
	f.Send(ago, wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusFailed, Reason: "no permission", At: f.Now.UnixMilli()})
	f.Host(5, "new2")
	gone := f.Host(6, "gone")
	f.Do(func(tx *store.Tx) error { return tx.RemoveHost(gone, f.Now, "sold") })
	f.Send(ago, wire.SectionUpdate{Section: facts.Groups, Status: facts.StatusUnsupported, At: f.Now.UnixMilli()})
	f.Report(ago, facts.Routes)
	ask := func(sql string, asOf time.Time) string {
		a, err := f.engine.Run(context.Background(), Request{SQL: sql, AsOf: asOf})
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var out []string
		for _, u := range a.Unknown {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %d/%d %v %s", u.Section, u.Hosts, u.Of, u.ByState, strings.TrimPrefix(fmt.Sprint(Time(u.AsOf)), "<nil>"))))
		}
		return strings.Join(out, "; ")
	}
	const absent = "select name from hosts where host_id not in (select host_id from packages where name = 'openssl')"
	const joined = "select h.name from hosts h left join packages p on p.host_id = h.host_id and p.name = 'openssl' where h.name <> 'new2' and p.name is null"
	for sql, want := range map[string]string{
		absent:                         "packages 2/5 [{failed 1} {not reported 1}]",
		joined:                         "packages 1/4 [{failed 1}]",
		"select version from software": "packages 2/5 [{failed 1} {not reported 1}]",
		"select count(*) from packages where host in ('web1', 'db1')":                                                              "",
		"select count(*) from packages where host = 'gone' or host = 'nobody'":                                                     "",
		"select count(*) from sudo_rules where host = 'web1'":                                                                      "sudo_rules 1/1 [{not reported 1}]",
		"select host from groups where host = 'new1'":                                                                              "",
		"select host from routes where host = 'new1'":                                                                              "",
		"select name from hosts where name = 'none'":                                                                               "",
		"select count(*) from packages('2026-11-20 12:00') where name = 'none'":                                                    "",
		"select g.name from packages p join groups('2026-11-20 12:00') g using (host_id) where p.name = 'bash' and p.host = 'db1'": "groups 1/1 [{not reported 1}] 2026-11-20T12:00:00Z",
	} {
		if got := ask(sql, time.Time{}); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	if got := ask(absent, t0.Add(1500*time.Millisecond)); got != "packages 1/3 [{not reported 1}]" {
		t.Errorf("before the third report: %q", got)
	}
	f.Report(ago, facts.Packages, deb("openssl", "3.0.9-1"))
	if got := ask(absent, time.Time{}); got != "packages 1/5 [{not reported 1}]" {
		t.Errorf("after a reading that did not fail: %q", got)
	}
}

func TestThePastOfAllTablesOrOfOne(t *testing.T) {
	f := newSmallFleet(t)
	const versions = "select host, version from packages where name = 'openssl' order by host"
	if got := f.ask(Request{SQL: versions, AsOf: t0.Add(time.Hour)}); got != "web1|3.0.9-1\nweb2|3.0.9-1" {
		t.Errorf("as of an hour later: %s", got)
	}
	if got := f.ask(Request{SQL: "select count(*) from packages", AsOf: t0.Add(1500 * time.Millisecond)}); got != "4" {
		t.Errorf("before the third report: %s rows", got)
	}
	const joined = "select n.host, b.version, n.version from packages n join packages('2026-11-20 12:00') b using (host_id, name, arch) where n.version <> b.version"
	if got := f.ask(Request{SQL: joined}); got != "web2|3.0.9-1|3.0.11-1" {
		t.Errorf("two moments: %s", got)
	}
	if got := f.ask(Request{SQL: "select count(*) from packages where as_of = '-12h' and name = 'openssl' and vercmp(source, version, '3.0.11') < 0"}); got != "2" {
		t.Errorf("as_of as a condition: %s", got)
	}
	// A moment from another table.
	if got := f.ask(Request{SQL: "with m(t) as (values ('2026-11-20 12:00'), ('now')) select t, version from m, packages(m.t) where name = 'openssl' and host = 'web2' order by t"}); got != "2026-11-20 12:00|3.0.9-1\nnow|3.0.11-1" {
		t.Errorf("a moment from a table: %s", got)
	}
	for _, sql := range []string{"select * from packages('yesterday')", "select * from packages where as_of > 5 and as_of = 'x'"} {
		if _, err := f.engine.Run(context.Background(), Request{SQL: sql}); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestTablesWithoutAPastRefuseAMoment: however it is given; and NULL is no moment.
func TestTablesWithoutAPastRefuseAMoment(t *testing.T) {
	f := newFleet(t)
	now := Table{Name: "now_only", Columns: []TableColumn{{Name: "n", Type: "INTEGER"}}}
	now.Scan = Rows(1, func(_ Scan, row []any, yield func() error) error {
		row[0] = int64(1)
		return yield()
	})
	e, err := New(Config{Store: f.Store, Now: func() time.Time { return f.Now }, Tables: []Table{now}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f.engine = e
	if got := f.ask(Request{SQL: "select n from now_only"}); got != "1" {
		t.Errorf("now: %s", got)
	}
	f.Report(f.Host(1, "web1"), facts.Users, &facts.UserRow{Name: "root"})
	f.Now = f.Now.Add(time.Hour)
	for _, c := range []struct {
		sql, want string
		asOf      time.Time
	}{
		{"select n from now_only", "now_only has no past", t0},
		{"select h.name from hosts h left join now_only n on 1", "now_only has no past", t0},
		{"select n from now_only('-5d')", "now_only has no past", time.Time{}},
		{"select name from users(NULL)", "the moment of users is NULL", time.Time{}},
		{"with m(t) as (values ('now'), (null)) select name from m, users(m.t)", "the moment of users is NULL", time.Time{}},
		{"select name from users('')", "is no time", time.Time{}},
	} {
		_, err := e.Run(context.Background(), Request{SQL: c.sql, AsOf: c.asOf})
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.sql, err, c.want)
		}
	}
}

// TestChangesOfAMoment: those that had come about, and bounds of at are kept.
func TestChangesOfAMoment(t *testing.T) {
	f := newSmallFleet(t)
	const count = "select count(*) from changes where section = 'packages'"
	all := f.ask(Request{SQL: count})
	before := f.ask(Request{SQL: count, AsOf: t0.Add(time.Hour)})
	if got := f.ask(Request{SQL: "select count(*) from changes('2026-11-20 09:00') where section = 'packages'"}); got != before || all == before {
		t.Errorf("all %s, an hour later %s, as an argument %s", all, before, got)
	}
	for _, where := range []string{
		"at <= '2026-11-20T08:00:00Z'", "at < '2026-11-20T08:00:00Z'", "at > '2026-11-20T12'", "at >= '2026-11-21T08:00:00Z'",
		"at between '2026-11-20T08:00:00Z' and '2026-11-20T08:00:01Z'", "at < '2026-11-21' and host = 'web1'",
	} {
		looked := f.ask(Request{SQL: strings.Replace(count, "section", "+section", 1) + " and " + strings.ReplaceAll(where, "at ", "+at ")})
		if got := f.ask(Request{SQL: count + " and " + where}); got != looked {
			t.Errorf("%s: %s, want %s", where, got, looked)
		}
	}
}

func TestOnlyReadingIsPossible(t *testing.T) {
	f := newSmallFleet(t)
	for _, sql := range []string{
		"", "selec", "select * from nowhere", "select nothing from hosts", "delete from hosts", "insert into hosts(name) values ('x')",
		"create table x(a)", "create temp table x(a)", "drop table hosts", "attach '/tmp/x' as y", "pragma query_only=off", "pragma hard_heap_limit=0",
		"vacuum into '/tmp/x'", "begin", "select load_extension('x')", "select 1; delete from hosts", "select * from hosts; drop table hosts", "explain delete from hosts",
		"select vercmp('none', 'a', 'b')", "select moment('whenever')", "select 'a' regexp '('",
	} {
		a, err := f.engine.Run(context.Background(), Request{SQL: sql})
		if !errors.Is(err, ErrQuery) {
			t.Errorf("%q: %v, %v; want %v", sql, a, err, ErrQuery)
		}
	}
	if got := f.ask(Request{SQL: "select count(*) from hosts"}); got != "3" {
		t.Errorf("hosts afterwards: %s", got)
	}
}

func TestAQueryThatAsksTooMuchIsStopped(t *testing.T) {
	f := newSmallFleet(t)
	endless := "with recursive n(i) as (select 1 union all select i+1 from n) select "
	for _, c := range []struct {
		sql  string
		l    Limits
		word string
	}{
		{endless + "count(*) from n", Limits{Time: 200 * time.Millisecond}, "longer than"},
		{endless + "i from n", Limits{Rows: 1000}, "more than 1000 rows"},
		{endless + "hex(zeroblob(100000)) from n", Limits{Cells: 1 << 20}, "larger than"},
		{"select count(*) from packages a, packages b, packages c, packages d, packages e, packages g, packages h", Limits{Scanned: 10_000}, "had to be looked at"},
		{endless + "i, zeroblob(1000000) x from n order by x, -i", Limits{}, "more memory"},
		{"select length(zeroblob(1000000000))", Limits{}, "too big"},
	} {
		began := time.Now()
		_, err := f.engine.Run(context.Background(), Request{SQL: c.sql, Limits: c.l})
		if c.word != "" && (err == nil || !strings.Contains(err.Error(), c.word)) {
			t.Errorf("%s: %v, want %q", c.sql, err, c.word)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: took %s", c.sql, took)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := f.engine.Run(ctx, Request{SQL: endless + "count(*) from n"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	if got := f.ask(Request{SQL: "select count(*) from hosts"}); got != "3" {
		t.Errorf("hosts afterwards: %s", got)
	}
}

// TestAPanicTakesOneQueryOnly: the connection that it leaves in the middle of a query is not
// used again, nor waited for at the end.
func TestAPanicTakesOneQueryOnly(t *testing.T) {
	f := newSmallFleet(t)
	faulty := Table{Name: "faulty", Columns: []TableColumn{{Name: "n", Type: "INTEGER"}}, Scan: func(Scan) iter.Seq2[[]any, error] {
		return func(yield func([]any, error) bool) {
			for range 3 { // also when the query has enough
				yield([]any{int64(1)}, nil)
			}
		}
	}}
	e, err := New(Config{Store: f.Store, Tables: []Table{faulty}, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the table did not panic")
				}
			}()
			_, _ = e.Run(context.Background(), Request{SQL: "select n from faulty limit 1"})
		}()
		answer, err := e.Run(context.Background(), Request{SQL: "select count(*) from hosts"})
		if err != nil || lines(answer) != "3" {
			t.Errorf("after a panic: %v, %v", answer, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestWaitingIsBoundedAndNotOnTheTimeOfTheQuery: one connection, which a query holds to
// the end of its time.
func TestWaitingIsBoundedAndNotOnTheTimeOfTheQuery(t *testing.T) {
	f := newSmallFleet(t)
	const runaway = "with recursive n(i) as (select 1 union all select i+1 from n) select count(*) from n"
	hold := func(e *Engine, limit time.Duration) (ended chan error) {
		ended = make(chan error, 1)
		go func() {
			_, err := e.Run(context.Background(), Request{SQL: runaway, Limits: Limits{Time: limit}})
			ended <- err
		}()
		for len(e.made) == 0 || len(e.slots) > 0 {
			select {
			case err := <-ended:
				t.Fatalf("a query for ever ended before it began: %v", err)
			default:
				runtime.Gosched()
			}
		}
		return ended
	}
	for _, wait := range []time.Duration{20 * time.Millisecond, 20 * time.Second} {
		e, err := New(Config{Store: f.Store, Now: func() time.Time { return f.Now }, Connections: 1, Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		ended := hold(e, 500*time.Millisecond)
		answer, err := e.Run(context.Background(), Request{SQL: "select 7", Limits: Limits{Time: 400 * time.Millisecond}})
		if wait < time.Second && (!errors.Is(err, ErrBusy) || err.Error() != "busy: 1 queries are running, try again") {
			t.Errorf("no room: %v, %v", answer, err)
		}
		if wait > time.Second && (err != nil || lines(answer) != "7") {
			t.Errorf("after waiting: %v", err)
		}
		if err := <-ended; !errors.Is(err, ErrLimit) {
			t.Errorf("a query for ever: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNumbersThatJSONHasNotAreText(t *testing.T) {
	f := newSmallFleet(t)
	if got := f.ask(Request{SQL: "select 1e999, -1e999, 1e308, 1e999 - 1e999"}); got != "Infinity|-Infinity|1e+308|NULL" {
		t.Error(got)
	}
}

func TestQueriesRunBesideEachOther(t *testing.T) {
	f := newSmallFleet(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 5 {
				a, err := f.engine.Run(context.Background(), Request{SQL: "select count(*) from packages"})
				if err != nil || lines(a) != "5" {
					t.Errorf("%v, %v", a, err)
				}
			}
		})
	}
	all.Wait()
}

func TestExplainSaysHowRowsAreFound(t *testing.T) {
	f := newSmallFleet(t)
	for sql, want := range map[string]string{
		"select host from packages where name = 'openssl'":                        "by name",
		"select name from packages where host = 'web1'":                           "by host",
		"select name from packages('-1d') where host_id = '0100000000000000'":     "by host_id, as_of",
		"select count(*) from users":                                              "all rows",
		"select item from changes where at > moment('-1d') and section = 'users'": "section",
	} {
		if got := f.ask(Request{SQL: sql, Explain: true}); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", sql, got, want)
		}
	}
}

func TestEverySectionIsATable(t *testing.T) {
	f := newSmallFleet(t)
	known := map[string]Table{}
	for _, table := range f.engine.Tables() {
		known[table.Name] = table
		if _, err := f.engine.Run(context.Background(), Request{SQL: "select * from " + quote(table.Name)}); err != nil {
			t.Errorf("%s: %v", table.Name, err)
		}
	}
	for _, s := range facts.Sections() {
		if table, ok := known[s.Name]; !ok || len(table.Columns) != len(s.Columns())+2 || table.Doc == "" {
			t.Errorf("section %s: %+v", s.Name, table)
		}
		for _, c := range known[s.Name].Columns {
			if c.Doc == "" {
				t.Errorf("section %s: nothing says what column %s is", s.Name, c.Name)
			}
		}
	}
}

func FuzzQueriesHarmNothing(f *testing.F) {
	for _, s := range []string{"select * from hosts", "select name from packages('-1d') where name like 'o%' group by 1 order by 1 limit 3", "select vercmp('deb', name, '1') from software"} {
		f.Add(s)
	}
	fl := newSmallFleet(f)
	f.Fuzz(func(t *testing.T, sql string) {
		fl.engine.Run(context.Background(), Request{SQL: sql, Limits: Limits{Time: time.Second, Rows: 100}}) // errors are fine
		a, err := fl.engine.Run(context.Background(), Request{SQL: "select count(*) from packages"})
		if err != nil || lines(a) != "5" {
			t.Fatalf("after %q: %v, %v", sql, a, err)
		}
	})
}
