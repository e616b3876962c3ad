package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/api"
	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
	"atalaya/collector/auth"
	"atalaya/collector/cmdb"
	"atalaya/collector/enroll"
	"atalaya/collector/inventory"
	"atalaya/collector/query"
	"atalaya/collector/search"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// whole is an API over the collector's real parts, with one token for all.
type whole struct {
	t     *testing.T
	parts api.Sources
	fleet *storetest.Fleet
	*v1.Client
}

// tokenTable is where API tokens rest, as the collector has it.
type tokenTable struct{ *store.Store }

func (r tokenTable) View(fn func(auth.Table) error) error {
	return r.Store.View(func(tx *store.Tx) error { return fn(tx.Table("auth.tokens")) })
}

func (r tokenTable) Update(fn func(auth.Table) error) error {
	return r.Store.Update(func(tx *store.Tx) error { return fn(tx.Table("auth.tokens")) })
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	return newWholeWith(t, query.Config{})
}

// newWholeWith is newWhole with other limits of queries.
func newWholeWith(t *testing.T, asked query.Config) *whole {
	t.Helper()
	return newWholeIn(t, t.TempDir(), asked, slog.DiscardHandler)
}

// newWholeIn is newWholeWith in a folder, with a log.
func newWholeIn(t *testing.T, dir string, asked query.Config, logs slog.Handler) *whole {
	t.Helper()
	w := &whole{t: t, fleet: storetest.At(t, filepath.Join(dir, store.FileName), time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC))}
	w.fleet.Step = time.Minute
	st, clock, log := w.fleet.Store, w.fleet.Store.Now, slog.New(logs)
	metrics := filepath.Join(dir, "metrics")
	db := must[*series.DB](t)(series.Open(series.Config{Dir: metrics, Now: clock, Log: log, Catalogue: []metric.Desc{metric.Load1}}))
	if err := db.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	ca := must[*enroll.Authority](t)(enroll.OpenAuthority(context.Background(), enroll.Config{Dir: dir, Store: st, Address: "127.0.0.1:7443", Now: clock}))
	alerts := must[*alert.Engine](t)(alert.Open(alert.Config{Store: st, Query: db, Record: db, Now: clock, Log: log}))
	asked.Store, asked.Now = st, clock
	queries := must[*query.Engine](t)(query.New(asked))
	t.Cleanup(func() { must[struct{}](t)(struct{}{}, queries.Close()) })
	w.parts = api.Sources{
		Queries: queries, Assets: asset.New(st), Search: search.New(st),
		Store: st, Inventory: inventory.New(st), CMDB: cmdb.New(st), Alerts: alerts, Series: db, Authority: ca,
		Tokens: auth.NewTokens(tokenTable{st}, clock), Sessions: func() int { return 1 }, SilentAfter: 90 * time.Second,
		SeriesDir: metrics, Version: "0.1.0", StartedAt: w.fleet.Now, Now: clock, Log: log,
	}
	text, _, err := w.parts.Tokens.Create(auth.Admin, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(must[*api.API](t)(api.New(w.parts.Config())))
	w.Client = must[*v1.Client](t)(v1.NewClient(server.URL, text))
	t.Cleanup(func() {
		w.Client.Close()
		server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// host enrols a host as an administrator and its agent would.
func (w *whole) host(n byte, name string) identity.HostID {
	w.t.Helper()
	id := identity.HostID{n}
	err := w.parts.Store.Update(func(tx *store.Tx) error {
		return tx.PutHost(store.Host{ID: id, Name: name, EnrolledAt: w.fleet.Now, LastSeen: w.fleet.Now, AgentVersion: "0.1.0"})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// report brings the whole of a section and the views up to date, then a minute passes.
func (w *whole) report(id identity.HostID, section facts.ID, rows ...facts.Row) {
	w.t.Helper()
	w.fleet.Report(id, section, rows...)
	ctx := context.Background()
	if err := w.parts.Inventory.CatchUp(ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := w.parts.CMDB.CatchUp(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func dpkg(name, version string) *facts.PackageRow {
	return &facts.PackageRow{Name: name, Version: version, Arch: "amd64", Source: "dpkg"}
}

// TestCollectorAnswersThroughTheAPI brings facts in at one end and asks for them at
// the other, through the real store, views and metrics.
func TestCollectorAnswersThroughTheAPI(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	web, db := w.host(1, "web1"), w.host(2, "db1")
	w.report(web, facts.OS, &facts.OSRow{ID: "debian", Name: "Debian 12", Family: "linux", Arch: "x86_64"})
	w.report(web, facts.Packages, dpkg("openssl", "3.0.9-1"), dpkg("curl", "7.88.1-10"))
	w.report(db, facts.Packages, dpkg("openssl", "3.0.15-1"))
	w.report(web, facts.Packages, dpkg("openssl", "3.0.10-1"), dpkg("curl", "7.88.1-10"), dpkg("zlib1g", "1.3"))
	reboot := true
	w.report(db, facts.Patches, &facts.PatchRow{Name: "bash", Candidate: "5.2-2", Installed: "5.2-1", State: "held", Source: "dpkg"},
		&facts.PatchRow{Name: "libssl3", Candidate: "3.0.16-1", Installed: "3.0.15-1", State: "pending", Source: "dpkg", Security: true})
	w.report(db, facts.PatchState, &facts.PatchStateRow{Verdict: facts.VerdictPending, Pending: 1, Security: 1, IndexTime: facts.TimeOf(w.fleet.Now),
		IndexMaxAgeSeconds: 86400, RebootRequired: &reboot, RebootReasons: []string{"a newer kernel is installed"}})
	w.report(web, facts.Services, &facts.ServiceRow{Name: "nginx", State: "running", Manager: "systemd"})

	hosts := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{}))
	if len(hosts.Hosts) != 2 || hosts.Hosts[0].Name != "web1" || hosts.Hosts[0].OS != "Debian 12" || *hosts.Hosts[0].Packages != 3 || hosts.Hosts[0].Patch.Verdict != v1.VerdictUnknown {
		t.Errorf("hosts %+v", hosts.Hosts)
	}
	if only := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{Name: "D?1", Verdict: v1.VerdictPending})); len(only.Hosts) != 1 || only.Hosts[0].Name != "db1" {
		t.Errorf("pattern and verdict give %+v", only.Hosts)
	}
	first := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{Page: v1.Page{Limit: 1}}))
	second := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{Page: v1.Page{Limit: 1, Cursor: first.Next}}))
	if first.Hosts[0].Name != "web1" || second.Hosts[0].Name != "db1" || second.Next != "" {
		t.Errorf("pages %+v and %+v", first, second)
	}

	detail := must[v1.HostDetail](t)(w.Host(ctx, "web1", true))
	if p := detail.Sections["packages"]; p.Status != "ok" || p.RowCount != 3 || len(p.Rows) != 3 || !strings.Contains(string(p.Rows[0]), `"name":"curl"`) {
		t.Errorf("packages of web1: %+v", p)
	}
	history := must[v1.History](t)(w.History(ctx, web.String(), v1.HistoryQuery{Section: "packages", Page: v1.Page{Limit: 2}}))
	if len(history.Changes) != 2 || history.Next == "" || history.Changes[0].Kind != v1.ChangeAdded || !strings.Contains(history.Changes[0].Item, "zlib1g") {
		t.Errorf("history %+v", history)
	}
	diff := must[v1.Diff](t)(w.Diff(ctx, "web1", v1.DiffQuery{From: w.fleet.Now.Add(-5 * time.Minute), To: w.fleet.Now}))
	kinds := map[string]int{}
	for _, c := range diff.Changes {
		kinds[c.Section+" "+c.Kind]++
	}
	if kinds["packages added"] != 1 || kinds["packages changed"] != 1 || kinds["packages removed"] != 0 {
		t.Errorf("diff has %v of %+v", kinds, diff.Changes)
	}

	changed := must[v1.FleetChanges](t)(w.Changed(ctx, v1.FleetChangeQuery{Hosts: []string{"web1"}, From: w.fleet.Now.Add(-5 * time.Minute), Limit: 1}))
	if len(changed.Changes) != 1 || changed.Total < 2 || changed.Changes[0].Section != "packages" || changed.Changes[0].HostCount != 1 || changed.Changes[0].Hosts[0].Host != "web1" {
		t.Errorf("what changed on web1: %+v", changed)
	}

	older := must[v1.PackagePage](t)(w.Packages(ctx, v1.PackageQuery{Name: "openssl", Below: "3.0.11"}))
	if len(older.Packages) != 1 || older.Packages[0].Host != "web1" || older.Packages[0].KnownAt.IsZero() {
		t.Errorf("openssl below 3.0.11: %+v", older)
	}
	exact := must[v1.PackagePage](t)(w.Packages(ctx, v1.PackageQuery{Name: "open*", Version: "3.0.15-1"}))
	if len(exact.Packages) != 1 || exact.Total != 1 || exact.Packages[0].Host != "db1" {
		t.Errorf("openssl 3.0.15-1: %+v", exact)
	}
	patches := must[v1.PatchPage](t)(w.Patches(ctx, v1.PatchQuery{Host: "db1"}))
	if h := patches.Hosts[0]; h.Verdict.Verdict != v1.VerdictPending || *h.Held != 1 || len(h.Updates) != 2 || !*h.RebootRequired || *h.IndexAgeSeconds != 120 {
		t.Errorf("patches of db1: %+v", h)
	}

	cis := must[v1.CIPage](t)(w.CIs(ctx, v1.CIQuery{Class: "service"}))
	if len(cis.CIs) != 1 || cis.CIs[0].Name != "nginx" || cis.CIs[0].Host != "web1" {
		t.Fatalf("services %+v", cis.CIs)
	}
	mine := must[v1.CIPage](t)(w.CIs(ctx, v1.CIQuery{Host: "web1"}))
	if len(mine.CIs) < 2 || mine.CIs[0].Name != "web1" || slices.ContainsFunc(mine.CIs[1:], func(ci v1.CI) bool { return ci.Host != "web1" }) {
		t.Errorf("CIs of web1: %+v", mine.CIs)
	}
	item := must[v1.CIDetail](t)(w.CI(ctx, "host:web1"))
	impact := must[v1.Impact](t)(w.Impact(ctx, item.CI.ID))
	if !slices.ContainsFunc(impact.Affected, func(a v1.Affected) bool { return a.ID == cis.CIs[0].ID && len(a.Why) > 0 }) {
		t.Errorf("impact of web1 misses nginx: %+v", impact.Affected)
	}

	if rules := must[v1.RuleList](t)(w.Rules(ctx)); len(rules.Rules) == 0 {
		t.Error("no default rules")
	}
	check := must[v1.RuleCheck](t)(w.CheckRules(ctx, "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(\n"))
	if len(check.Problems) == 0 || !strings.Contains(check.Problems[0], "rules:") {
		t.Errorf("a broken rule file: %+v", check)
	}
	if alerts := must[v1.AlertPage](t)(w.Alerts(ctx, v1.AlertQuery{})); alerts.Alerts == nil {
		t.Error("alerts are null")
	}
}

func TestMetricsThroughTheAPI(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	app := w.parts.Series.Begin(ctx)
	app.AppendOwn(w.fleet.Now.UnixMilli(), "node_load1", []metric.Label{{Name: "host", Value: "web<1>"}}, 0.25)
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	doc := must[v1.PromResponse](t)(w.Query(ctx, "node_load1 * 2", w.fleet.Now))
	var data v1.QueryData
	if err := json.Unmarshal(doc.Data, &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Vector) != 1 || data.Vector[0].Value.Value != 0.5 || data.Vector[0].Metric["host"] != "web<1>" {
		t.Errorf("query gives %s", doc.Data)
	}
	if doc := must[v1.PromResponse](t)(w.QueryRange(ctx, "node_load1", w.fleet.Now.Add(-time.Minute), w.fleet.Now, 30*time.Second)); !bytes.Contains(doc.Data, []byte(`"matrix"`)) {
		t.Errorf("range gives %s", doc.Data)
	}
	if _, err := w.Query(ctx, "sum(", w.fleet.Now); err == nil || !strings.Contains(err.Error(), "parse error") || !v1.IsCode(err, "bad_data") {
		t.Errorf("a broken expression: %v", err)
	}
}

func TestWordsOfClosedListsAreThoseOfTheParts(t *testing.T) {
	var classes, roles []string
	for c := cmdb.Class(1); c.String() != "unknown"; c++ {
		classes = append(classes, c.String())
	}
	for _, r := range auth.Roles() {
		roles = append(roles, string(r))
	}
	if !slices.Equal(classes, v1.CIClasses()) || !slices.Equal(roles, v1.Roles()) {
		t.Errorf("classes %q and roles %q, the interface names %q and %q", classes, roles, v1.CIClasses(), v1.Roles())
	}
}

func TestStatusAnswersWithoutTheMetricsEngine(t *testing.T) {
	w := newWhole(t)
	w.host(7, "lab")
	if err := w.parts.Series.Close(); err != nil {
		t.Fatal(err)
	}
	status := must[v1.Status](t)(w.Status(context.Background()))
	if status.Hosts.Total != 1 || status.StoreBytes == 0 || len(status.Warnings) != 1 || !strings.Contains(status.Warnings[0], "metrics are not available: series database is closed") {
		t.Errorf("status %+v", status)
	}
}

func TestStatusNamesWhyMetricsCannotBeWritten(t *testing.T) {
	w := newWhole(t)
	w.host(7, "lab")
	const want = "metrics cannot be written since"
	status := must[v1.Status](t)(w.Status(context.Background()))
	if all := strings.Join(status.Warnings, "\n"); strings.Contains(all, want) {
		t.Errorf("before anything failed: %s", all)
	}
	app := w.parts.Series.Begin(context.Background())
	app.Rollback()
	if err := app.Commit(); err == nil { // an error stands for any other
		t.Fatal("a commit after the end of its appender gave no error")
	}
	status = must[v1.Status](t)(w.Status(context.Background()))
	if all := strings.Join(status.Warnings, "\n"); !strings.Contains(all, want) || !strings.Contains(all, "agents keep their samples") {
		t.Errorf("while metrics cannot be written: %s", all)
	}
}

func TestAdministrationThroughTheAPI(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	reader := must[v1.NewToken](t)(w.CreateToken(ctx, v1.TokenRequest{Kind: v1.TokenAPI, Role: "reader", Note: "grafana", TTLSeconds: 3600}))
	enrol := must[v1.NewToken](t)(w.CreateToken(ctx, v1.TokenRequest{Kind: v1.TokenEnrol, Address: "collector.example.org:7443"}))
	if !strings.HasPrefix(reader.Secret, "atk_") || !strings.HasPrefix(enrol.Secret, "at1_") || enrol.State != "valid" {
		t.Errorf("tokens %+v and %+v", reader.Token, enrol.Token)
	}
	parsed, err := identity.ParseToken(enrol.Secret)
	if err != nil || parsed.Address != "collector.example.org:7443" {
		t.Errorf("enrolment token %+v, %v", parsed, err)
	}
	list := must[v1.TokenList](t)(w.Tokens(ctx))
	if len(list.Tokens) != 3 {
		t.Errorf("%d tokens, want 3 with the test's own", len(list.Tokens))
	}
	for _, token := range list.Tokens {
		if b, _ := json.Marshal(token); bytes.Contains(b, []byte(reader.Secret)) || bytes.Contains(b, []byte(enrol.Secret)) {
			t.Errorf("the list holds a secret: %s", b)
		}
	}
	for _, id := range []string{reader.ID, enrol.ID} {
		if err := w.RevokeToken(ctx, id); err != nil {
			t.Errorf("revoke %s: %v", id, err)
		}
	}
	if err := w.RevokeToken(ctx, "nothing"); !v1.IsCode(err, v1.CodeNotFound) {
		t.Errorf("revoke nothing: %v", err)
	}
	if _, err := w.CreateToken(ctx, v1.TokenRequest{Kind: v1.TokenEnrol, TTLSeconds: 366 * 86400}); !v1.IsCode(err, v1.CodeInvalid) {
		t.Errorf("an enrolment token for a year: %v", err)
	}

	w.host(7, "lab")
	if _, err := w.RevokeHost(ctx, "nowhere"); !v1.IsCode(err, v1.CodeNotFound) {
		t.Errorf("revoke a host that is none: %v", err)
	}
	w.fleet.Now = w.fleet.Now.Add(time.Hour)
	status := must[v1.Status](t)(w.Status(ctx))
	if status.Hosts != (v1.HostCounts{Total: 1, Silent: 1}) || status.StoreBytes == 0 || status.Sessions != 1 || len(status.Warnings) != 1 || !strings.Contains(status.Warnings[0], "lab") {
		t.Errorf("status %+v", status)
	}

	if scrub := must[v1.Scrub](t)(w.Scrub(ctx)); scrub.Count != 0 || scrub.Records == 0 || scrub.Bytes == 0 || scrub.AskedCount != 0 || scrub.Problem != "" {
		t.Errorf("scrub %+v", scrub)
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	var saved bytes.Buffer
	if _, err := w.Backup(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, saved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := store.Check(path); err != nil || report.Err() != nil {
		t.Errorf("backup: %+v, %v", report, err)
	}
}

func TestHostsLeaveAndComeBackThroughTheAPI(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	web := w.host(1, "web1")
	w.host(2, "db1")
	w.report(web, facts.Packages, dpkg("openssl", "3.0.9-1"))
	tags := must[v1.HostTags](t)(w.TagHost(ctx, "web1", v1.TagChange{Add: []string{"web", "old", "web"}}))
	if !slices.Equal(tags.Tags, []string{"old", "web"}) {
		t.Errorf("tags %q", tags.Tags)
	}
	if tags = must[v1.HostTags](t)(w.TagHost(ctx, "web1", v1.TagChange{Remove: []string{"old", "never"}})); !slices.Equal(tags.Tags, []string{"web"}) {
		t.Errorf("tags %q", tags.Tags)
	}
	if only := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{Tag: "web"})); len(only.Hosts) != 1 || only.Hosts[0].Name != "web1" {
		t.Errorf("hosts with the tag: %+v", only.Hosts)
	}
	gone := must[v1.RemovedHost](t)(w.RemoveHost(ctx, "web1", "sold"))
	if gone.HostID != web.String() || gone.Reason != "sold" || !gone.RemovedAt.Equal(w.fleet.Now) {
		t.Errorf("removed %+v", gone)
	}
	if of := must[v1.HostDetail](t)(w.Host(ctx, web.String(), false)); of.Removed == nil || of.Removed.Reason != "sold" {
		t.Errorf("what is told of a removed host: %+v", of.Removed)
	}
	if left := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{})); len(left.Hosts) != 1 || left.Hosts[0].Name != "db1" {
		t.Errorf("left are %+v", left.Hosts)
	}
	if found := must[v1.PackagePage](t)(w.Packages(ctx, v1.PackageQuery{Name: "openssl"})); found.Total != 0 {
		t.Errorf("packages of a removed host: %+v", found)
	}
	if _, err := w.RemoveHost(ctx, web.String(), ""); !v1.IsCode(err, v1.CodeNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	changed := must[v1.FleetChanges](t)(w.Changed(ctx, v1.FleetChangeQuery{Tag: "web", From: w.fleet.Now.Add(-30 * time.Second)}))
	if changed.Total != 1 || changed.Changes[0].Kind != "removed" || changed.Changes[0].Hosts[0].Host != "web1" {
		t.Errorf("the removal as a change: %+v", changed)
	}
	if list := must[v1.RemovedHosts](t)(w.RemovedHosts(ctx)); len(list.Hosts) != 1 || list.Hosts[0].Host != "web1" || !slices.Equal(list.Hosts[0].Tags, []string{"web"}) {
		t.Errorf("list of the removed: %+v", list)
	}
	if back := must[v1.Revival](t)(w.ReviveHost(ctx, "web1")); back.HostID != web.String() || back.Revoked {
		t.Errorf("revived %+v", back)
	}
	if only := must[v1.HostPage](t)(w.Hosts(ctx, v1.HostQuery{Tag: "web"})); len(only.Hosts) != 1 {
		t.Errorf("hosts after the revival: %+v", only.Hosts)
	}
	if of := must[v1.HostDetail](t)(w.Host(ctx, "web1", false)); of.Removed != nil {
		t.Errorf("a revived host is told as removed: %+v", of.Removed)
	}
	if _, err := w.ReviveHost(ctx, "web1"); !v1.IsCode(err, v1.CodeNotFound) {
		t.Errorf("revived twice: %v", err)
	}
}

func TestScrubMendsThroughTheAPI(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	id := w.host(7, "lab")
	w.report(id, facts.Packages, dpkg("openssl", "3.0.9-1"))
	path := filepath.Join(filepath.Dir(w.parts.SeriesDir), store.FileName)
	f := must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	content, mark, places := must[[]byte](t)(os.ReadFile(path)), []byte(`"name":"lab"`), 0
	for at := 0; ; places++ {
		i := bytes.Index(content[at:], mark)
		if i < 0 {
			break
		}
		if _, err := f.WriteAt([]byte{'M'}, int64(at+i+len(mark)-2)); err != nil {
			t.Fatal(err)
		}
		at += i + len(mark)
	}
	scrub := must[v1.Scrub](t)(w.Scrub(ctx))
	if places == 0 || scrub.Count == 0 || !scrub.Mended || scrub.Problem != "" || scrub.Damage[0].Table != "store.hosts" {
		t.Errorf("%d places damaged: %+v", places, scrub)
	}
	if again := must[v1.Scrub](t)(w.Scrub(ctx)); again.Count != 0 {
		t.Errorf("after mending: %+v", again)
	}
}

// TestAMergeSaysHowMuchComesFromWhom before it is done.
func TestAMergeSaysHowMuchComesFromWhom(t *testing.T) {
	w := newWhole(t)
	older := w.host(1, "web1")
	w.report(older, facts.Packages, dpkg("bash", "5.1"))
	newer := w.host(2, "web1-new")
	w.report(newer, facts.Packages, dpkg("bash", "5.2"), dpkg("vim", "9.0"))
	w.report(newer, facts.Users, &facts.UserRow{Name: "root"})
	ctx := context.Background()
	effects := func(keep, other string) string {
		t.Helper()
		return strings.Join(must[v1.MergeResult](t)(w.MergeHosts(ctx, keep, v1.MergeRequest{Other: other})).Effects, "\n")
	}
	const gone, come = "what web1 (0100000000000000) has now goes into the history (sections: 1, rows: 1)", "present facts and name become those of web1-new"
	if got := effects("web1", "web1-new"); !strings.Contains(got, gone) || !strings.Contains(got, come) || !strings.Contains(got, "(sections: 2, rows: 3)\n") {
		t.Errorf("merging the newer would:\n%s", got)
	}
	if got := effects("web1-new", "web1"); !strings.Contains(got, gone) || !strings.Contains(got, "present facts are those of web1-new") {
		t.Errorf("merging the older would:\n%s", got)
	}
	must[v1.RemovedHost](t)(w.RemoveHost(ctx, "web1", "sold"))
	if got := effects("web1-new", older.String()); strings.Contains(got, "goes into the history") {
		t.Errorf("merging one without facts would:\n%s", got)
	}
}
