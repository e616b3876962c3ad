package series

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

var (
	testNow  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testHost = identity.HostID{1}
)

func testConfig(dir string) Config {
	return Config{Dir: dir, Now: func() time.Time { return testNow }, Log: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, cfg Config) *DB {
	t.Helper()
	d := openOnly(t, cfg)
	load(t, d)
	return d
}

// openOnly leaves the engine closed.
func openOnly(t testing.TB, cfg Config) *DB {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func load(t testing.TB, d *DB) {
	t.Helper()
	if err := d.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func gauge(name string, kv ...string) metric.Series {
	s := metric.Series{Name: name}
	for i := 0; i < len(kv); i += 2 {
		s.Labels = append(s.Labels, metric.Label{Name: kv[i], Value: kv[i+1]})
	}
	return s
}

func define(t testing.TB, s *Session, list ...metric.Series) {
	t.Helper()
	for i, desc := range list {
		if err := s.Define(uint32(i), desc); err != nil {
			t.Fatal(err)
		}
	}
}

// put appends one sample of series 0 in a group of its own.
func put(t testing.TB, d *DB, s *Session, at time.Time, value float64) Tally {
	t.Helper()
	a := d.Begin(t.Context())
	tally := a.Append(s, at.UnixMilli(), []metric.Sample{{Series: 0, Value: value}})
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	return tally
}

func ask(t testing.TB, d *DB, expr string, at time.Time) string {
	t.Helper()
	r, err := d.Query(t.Context(), expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// points returns the stored "second value" pairs of a series over the whole test time.
func points(t testing.TB, d *DB, selector string) string {
	t.Helper()
	r, err := d.Query(t.Context(), selector+"[30d]", testNow.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var data struct {
		Result []struct{ Values [][2]any }
	}
	b, _ := json.Marshal(r)
	if err := json.Unmarshal(b, &data); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range data.Result {
		for _, v := range s.Values {
			sec := v[0].(float64) - float64(testNow.Unix())
			out = append(out, fmt.Sprintf("%g=%s", sec, v[1]))
		}
	}
	return strings.Join(out, " ")
}

func TestSamplesCarryTheHostsLabels(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "web1")
	define(t, s, gauge("node_load1"), gauge("probe_x", "host", "other", "z", "1"))
	a := d.Begin(t.Context())
	a.Append(s, testNow.UnixMilli(), []metric.Sample{{Series: 0, Value: 0.5}, {Series: 1, Value: 2}})
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	f := func(expr, want string) {
		t.Helper()
		if got := ask(t, d, expr, testNow); got != want {
			t.Errorf("%s\n got %s\nwant %s", expr, got, want)
		}
	}
	f("node_load1", `{"resultType":"vector","result":[{"metric":{"__name__":"node_load1","host":"web1","host_id":"0100000000000000"},"value":[1772366400,"0.5"]}]}`)
	f("probe_x", `{"resultType":"vector","result":[{"metric":{"__name__":"probe_x","exported_host":"other","host":"web1","host_id":"0100000000000000","z":"1"},"value":[1772366400,"2"]}]}`)
	f("1/0", `{"resultType":"scalar","result":[1772366400,"+Inf"]}`)
	f(`"a<b"`, `{"resultType":"string","result":[1772366400,"a\u003cb"]}`)
	f("nothing", `{"resultType":"vector","result":[]}`)
}

func TestRangeAnswerIsPrometheusJSON(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow.Add(-time.Minute), 1e-9)
	put(t, d, s, testNow, 3)
	r, err := d.QueryRange(t.Context(), "sum(x)", testNow.Add(-time.Minute), testNow.Add(500*time.Millisecond), 30500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(r)
	want := `{"resultType":"matrix","result":[{"metric":{},"values":[[1772366340,"1e-09"],[1772366370.500,"1e-09"]]}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReplayedSamplesAreStoredOnce(t *testing.T) {
	dir := t.TempDir()
	d := open(t, testConfig(dir))
	at := func(sec int) time.Time { return testNow.Add(time.Duration(sec) * time.Second) }
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	for i := range 5 {
		put(t, d, s, at(i-10), float64(i))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, testConfig(dir))
	s = d.Session(testHost, "a")
	define(t, s, gauge("x"))
	var sum Tally
	for i := range 7 { // two are new
		sum.add(put(t, d, s, at(i-10), float64(i)))
	}
	if want := (Tally{Stored: 3, Duplicates: 4}); sum != want {
		t.Errorf("tally %+v, want %+v", sum, want)
	}
	if got, want := points(t, d, "x"), "-10=0 -9=1 -8=2 -7=3 -6=4 -5=5 -4=6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFirstValueWins(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	at := func(sec int) time.Time { return testNow.Add(time.Duration(sec) * time.Second) }
	put(t, d, s, at(-3), 1)
	put(t, d, s, at(-2), 2)
	for _, sec := range []int{-3, -2} {
		if got := put(t, d, s, at(sec), 9); got != (Tally{Conflicts: 1}) {
			t.Errorf("second value at %d: %+v", sec, got)
		}
	}
	// Within one group, where the engine cannot see what is not committed.
	a := d.Begin(t.Context())
	for _, v := range []struct {
		sec   int
		value float64
		want  Tally
	}{
		{-1, 3, Tally{Stored: 1}}, {0, 4, Tally{Stored: 1}},
		{-1, 3, Tally{Duplicates: 1}}, {-1, 8, Tally{Conflicts: 1}}, {0, 4, Tally{Stored: 1}},
	} {
		if got := a.Append(s, at(v.sec).UnixMilli(), []metric.Sample{{Value: v.value}}); got != v.want {
			t.Errorf("at %d value %g: %+v, want %+v", v.sec, v.value, got, v.want)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, want := points(t, d, "x"), "-3=1 -2=2 -1=3 0=4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLateSamplesFillGaps(t *testing.T) {
	dir := t.TempDir()
	d := open(t, testConfig(dir))
	hour := func(h float64) time.Time { return testNow.Add(time.Duration(h * float64(time.Hour))) }
	other := d.Session(identity.HostID{2}, "b")
	define(t, other, gauge("x"))
	put(t, d, other, testNow, 7) // all hosts share the newest moment
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	var sum Tally
	for h := -24.0; h <= 0; h += 0.5 {
		sum.add(put(t, d, s, hour(h), h))
	}
	if sum != (Tally{Stored: 49}) {
		t.Errorf("backfill: %+v", sum)
	}
	s = d.Session(testHost, "a") // a lost acknowledgement: all again
	define(t, s, gauge("x"))
	sum = Tally{}
	for h := -24.0; h <= 0; h += 0.5 {
		sum.add(put(t, d, s, hour(h), h))
	}
	if want := (Tally{Stored: 1, Duplicates: 48}); sum != want {
		t.Errorf("replay: %+v, want %+v", sum, want)
	}
	check := func(d *DB) {
		t.Helper()
		if got := ask(t, d, `count_over_time(x{host="a"}[2d])`, testNow); !strings.Contains(got, `"49"`) {
			t.Errorf("stored samples: %s", got)
		}
	}
	check(d)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, testConfig(dir)))
}

func TestSamplesOutsideTheWindowAreCounted(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	f := func(at time.Time, want Tally) {
		t.Helper()
		if got := put(t, d, s, at, 1); got != want {
			t.Errorf("at %s: %+v, want %+v", at, got, want)
		}
	}
	f(testNow.Add(11*time.Minute), Tally{Future: 1})
	f(testNow.Add(9*time.Minute), Tally{Stored: 1})
	f(testNow.Add(-8*24*time.Hour), Tally{TooOld: 1})
	f(testNow.Add(-7*24*time.Hour), Tally{TooOld: 1}) // relative to the newest, 9 min ahead
	f(testNow.Add(-6*24*time.Hour), Tally{Stored: 1})
	st, err := d.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if want := (Tally{Stored: 2, Future: 1, TooOld: 2}); st.Tally != want {
		t.Errorf("stats %+v, want %+v", st.Tally, want)
	}
}

func TestBadSeriesAreRefusedOneByOne(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	many := metric.Series{Name: "many"}
	for i := range maxSeriesTags + 1 {
		many.Labels = append(many.Labels, metric.Label{Name: fmt.Sprintf("l%d", i), Value: "v"})
	}
	bad := []metric.Series{
		gauge(""), gauge("a b"), gauge("1a"), gauge(strings.Repeat("a", 300)), many,
		gauge("x", "a-b", "v"), gauge("x", "__name__", "v"), gauge("x", "__a", "v"),
		gauge("x", "a", "1", "a", "2"), gauge("x", "a", "\xff"), gauge("x", "a", strings.Repeat("v", 2000)),
	}
	var samples []metric.Sample
	for i, desc := range bad {
		if err := s.Define(uint32(i), desc); err == nil {
			t.Errorf("%.40q %.60v was taken", desc.Name, desc.Labels)
		}
		samples = append(samples, metric.Sample{Series: uint32(i)})
	}
	define := len(bad)
	if err := s.Define(uint32(define), gauge("good")); err != nil {
		t.Fatal(err)
	}
	if err := s.Define(math.MaxUint32, gauge("far")); err == nil {
		t.Error("number beyond the limit was taken")
	}
	samples = append(samples, metric.Sample{Series: uint32(define), Value: 1}, metric.Sample{Series: 5000})
	a := d.Begin(t.Context())
	got := a.Append(s, testNow.UnixMilli(), samples)
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if want := (Tally{Stored: 1, Refused: uint64(len(bad)) + 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestHostCannotFillTheDatabase(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.HostSeries = 3
	check := func(d *DB, id byte, from int, want Tally) {
		t.Helper()
		s := d.Session(identity.HostID{id}, "h")
		a := d.Begin(t.Context())
		var sum Tally
		for i := range 5 {
			define(t, s, gauge(fmt.Sprintf("x%d", from+i)))
			sum.add(a.Append(s, testNow.UnixMilli(), []metric.Sample{{Series: 0, Value: 1}}))
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		if sum != want {
			t.Errorf("host %d: %+v, want %+v", id, sum, want)
		}
	}
	d := open(t, cfg)
	check(d, 1, 0, Tally{Stored: 3, OverLimit: 2})
	check(d, 2, 0, Tally{Stored: 3, OverLimit: 2})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, cfg)
	check(d, 1, 3, Tally{OverLimit: 5}) // also after a restart
	a := d.Begin(t.Context())
	got := a.AppendOwn(testNow.UnixMilli(), "up", []metric.Label{{Name: "host_id", Value: identity.HostID{1}.String()}}, 0)
	if err := a.Commit(); err != nil || got != (Tally{Stored: 1}) {
		t.Errorf("the collector's own series of a full host: %+v, %v", got, err)
	}
}

func TestStaleMarkerEndsASeries(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow.Add(-20*time.Second), 1)
	put(t, d, s, testNow.Add(-10*time.Second), math.Float64frombits(metric.StaleBits))
	if got := ask(t, d, "x", testNow); got != `{"resultType":"vector","result":[]}` {
		t.Errorf("after the end: %s", got)
	}
}

func TestOwnSeries(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	a := d.Begin(t.Context())
	got := a.AppendOwn(testNow.UnixMilli(), "up", []metric.Label{{Name: "host_id", Value: "01"}, {Name: "host", Value: "a"}}, 1)
	if err := a.Commit(); err != nil || got != (Tally{Stored: 1}) {
		t.Fatal(got, err)
	}
	v, err := d.Instant(t.Context(), "up", testNow)
	if err != nil {
		t.Fatal(err)
	}
	want := Vector{{Labels: []metric.Label{{Name: "__name__", Value: "up"}, {Name: "host", Value: "a"}, {Name: "host_id", Value: "01"}}, At: testNow.UnixMilli(), Value: 1}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}

func TestSearch(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Catalogue = []metric.Desc{{Name: "x", Help: "an x", Kind: metric.Counter}}
	d := open(t, cfg)
	for i, name := range []string{"a", "b", "c"} {
		s := d.Session(identity.HostID{byte(i)}, name)
		define(t, s, gauge("x", "k", "v"+name))
		put(t, d, s, testNow, 1)
	}
	names, err := d.LabelNames(t.Context(), Selection{})
	if diff := cmp.Diff([]string{"__name__", "host", "host_id", "k"}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	values, err := d.LabelValues(t.Context(), "host", Selection{Match: []string{`x{host!="b"}`, `x{host="a"}`}})
	if diff := cmp.Diff([]string{"a", "c"}, values); diff != "" || err != nil {
		t.Error(diff, err)
	}
	values, err = d.LabelValues(t.Context(), "host", Selection{To: testNow.Add(-3 * time.Hour), Limit: 5})
	if len(values) > 3 || err != nil {
		t.Error(values, err)
	}
	found, err := d.Series(t.Context(), Selection{Match: []string{`{k=~"v(a|b)"}`, `x{host="b"}`}})
	if len(found) != 2 || err != nil {
		t.Error(found, err)
	}
	if _, err := d.Series(t.Context(), Selection{}); kind(err) != BadData {
		t.Error("series without selector:", err)
	}
	if diff := cmp.Diff(map[string][]Metadata{"x": {{Type: "counter", Help: "an x"}}}, d.Metadata("")); diff != "" {
		t.Error(diff)
	}
}

func kind(err error) ErrorKind {
	var q *QueryError
	if errors.As(err, &q) {
		return q.Kind
	}
	return ""
}

func TestQueryErrorsHaveTheirKind(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.QuerySamples = 10
	d := open(t, cfg)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	for i := range 20 {
		put(t, d, s, testNow.Add(time.Duration(i-20)*time.Second), 1)
	}
	f := func(ctx context.Context, expr string, want ErrorKind) {
		t.Helper()
		if _, err := d.Query(ctx, expr, testNow); kind(err) != want {
			t.Errorf("%s: %v is %q, want %q", expr, err, kind(err), want)
		}
	}
	f(t.Context(), "x{", BadData)
	f(t.Context(), "rate(x)", BadData)
	f(t.Context(), "sum_over_time(x[1m])", Execution) // too many samples
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	f(canceled, "x", Canceled)
	if _, err := d.QueryRange(t.Context(), "x", testNow, testNow, 0); kind(err) != BadData {
		t.Error("no step:", err)
	}
	if _, err := d.QueryRange(t.Context(), "x", testNow.Add(-time.Hour), testNow, time.Millisecond); kind(err) != BadData {
		t.Error("too many points:", err)
	}
	if _, err := d.Instant(t.Context(), "x[5s]", testNow); kind(err) != BadData {
		t.Error("matrix as vector:", err)
	}
}

func TestSecondProcessIsToldClearly(t *testing.T) {
	cfg := testConfig(t.TempDir())
	open(t, cfg)
	_, err := Open(cfg) // the lock is per open file, so this process stands for another
	if err == nil || !strings.Contains(err.Error(), "is another collector running on it?") {
		t.Errorf("second open: %v", err)
	}
}

func TestUseAfterCloseIsAnError(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "a")
	a := d.Begin(t.Context())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	a.Append(s, testNow.UnixMilli(), nil)
	if err := a.Commit(); !errors.Is(err, ErrClosed) {
		t.Error("commit:", err)
	}
	if err := d.Sync(); !errors.Is(err, ErrClosed) {
		t.Error("sync:", err)
	}
	if _, err := d.Query(t.Context(), "x", testNow); !errors.Is(err, ErrClosed) {
		t.Error("query:", err)
	}
}

func TestSyncCoversEverySegmentWrittenSince(t *testing.T) {
	dir := t.TempDir()
	write := func(n int, size int64) {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%08d", n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 10)
	f := logFiles{dir: dir}
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	check := func(segment int, size int64) {
		t.Helper()
		if err := f.sync(); err != nil {
			t.Fatal(err)
		}
		if f.segment != segment || f.size != size {
			t.Errorf("synced to segment %d size %d, want %d size %d", f.segment, f.size, segment, size)
		}
	}
	write(1, 5)
	check(1, 5)
	check(1, 5)
	write(1, 9)
	write(2, 3)
	write(3, 4)
	check(3, 4)
	for n := range 3 { // the engine drops old ones
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%08d", n))); err != nil {
			t.Fatal(err)
		}
	}
	write(4, 1)
	check(4, 1)
}

// FuzzDefine: whatever an agent calls its series, it is refused or stored under the
// host's own labels, which have a form in JSON.
func FuzzDefine(f *testing.F) {
	f.Add("node_load1", "host", "other", "exported_host", "x")
	f.Add("", "a-b", "\xff", "__name__", "up")
	f.Add("up", "host_id", "", "le", "\u2028<>&")
	d := &DB{cfg: Config{HostSeries: 10}} // naming needs no engine
	f.Fuzz(func(t *testing.T, name, k1, v1, k2, v2 string) {
		s := d.Session(testHost, "web1")
		if s.Define(0, gauge(name, k1, v1, k2, v2)) != nil {
			return
		}
		ls := s.entries[0].labels
		if ls.Get("host") != "web1" || ls.Get("host_id") != testHost.String() || ls.Get("__name__") != name {
			t.Errorf("labels %s", ls)
		}
		b := appendLabels(nil, ls)
		var back map[string]string
		if err := json.Unmarshal(b, &back); err != nil || !cmp.Equal(back, ls.Map()) {
			t.Errorf("%s: %v", b, err)
		}
	})
}
