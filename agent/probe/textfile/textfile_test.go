package textfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

func TestParse(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		c, err := parse([]byte(in))
		var got []string
		for _, s := range c.samples {
			got = append(got, fmt.Sprintf("%s %s %q %v", s.desc.Name, s.desc.Kind, s.labels, s.value))
		}
		if err != nil {
			got = []string{"error"}
		}
		if out := strings.Join(got, "; "); out != want {
			t.Errorf("%q gives %s (%v), want %s", in, out, err, want)
		}
	}
	f("# TYPE backup_age_seconds gauge\nbackup_age_seconds 5\n", `backup_age_seconds gauge [] 5`)
	f("# TYPE a_total counter\n# HELP a_total x\na_total{z=\"1\", b = \"q\\\"\\n\" ,} +Inf\n", `a_total counter ["q\"\n" "1"] +Inf`)
	f("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2", `h_bucket counter ["+Inf"] 2; h_sum counter [] 1.5; h_count counter [] 2`)
	f("a:b{} 1e3\n\n# comment\n", `a:b gauge [] 1000`)
	for _, bad := range []string{
		"a 1 1395066363000\n", "a\n", "1a 2\n", "a{b} 1\n", "a{b=\"1\" 2\n", "a{b=\"1\",b=\"2\"} 1\n", "a 1\na 2\n", "a x\n", "a 0x10\n",
		"# TYPE a counter\n# TYPE a gauge\n", "# TYPE a\n", "# TYPE\n", "# HELP 1 x\n", "# TYPE a what\n", "a{__name__=\"b\"} 1\n", "a{b=\"\\q\"} 1\n", "\xff 1\n",
	} {
		f(bad, "error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# TYPE a_total counter\na_total{z=\"1\",b=\"q\\\"\"} +Inf\nb 2\n"))
	f.Add([]byte("a{b=\"\\"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := parse(b)
		for _, s := range c.samples {
			if f, ok := c.families[c.families.Of(s.desc.Name)]; !ok && metric.HelpOf(s.desc.Name) == "" || ok && !slices.Contains(types, f.Type) {
				t.Errorf("%s is of no family", s.desc.Name)
			}
			if len(s.labels) != len(s.desc.Labels) || !slices.IsSorted(s.desc.Labels) || !validName(s.desc.Name, true) {
				t.Errorf("%+v %+v", s, s.desc)
			}
		}
	})
}

func TestABadFileCostsOnlyItself(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"t/good.prom": "good 1\n", "t/bad.prom": "bad one two three\n", "t/other.txt": "ignored 1\n"})
	p, h := New("/t"), probe.RootHost(root)
	read := func() (names []string, scrapeError float64) {
		t.Helper()
		res := probe.RunOnce(t.Context(), h, p)
		for _, s := range res.Frame.Samples {
			name := res.Series[s.Series].Name
			if name == "node_textfile_scrape_error" {
				scrapeError = s.Value
			} else if name != "node_textfile_mtime_seconds" {
				names = append(names, name)
			}
		}
		return names, scrapeError
	}
	if names, failed := read(); !slices.Equal(names, []string{"good"}) || failed != 1 {
		t.Errorf("%v, error %v", names, failed)
	}
	if err := os.Remove(filepath.Join(root, "t/bad.prom")); err != nil {
		t.Fatal(err)
	}
	probetest.Write(t, root, "t/good.prom", []byte("good 1\nbetter 2\n"))
	if names, failed := read(); !slices.Equal(names, []string{"good", "better"}) || failed != 0 {
		t.Errorf("after it was mended: %v, error %v", names, failed)
	}
	probetest.Write(t, root, "t/huge.prom", []byte(strings.Repeat("# x\n", maxBytes)))
	if names, failed := read(); len(names) != 2 || failed != 1 {
		t.Errorf("with a huge one: %v, error %v", names, failed)
	}
}

// own gives a series that a file may give too.
type own struct{}

func (own) Info() probe.Info { return probe.Info{Name: "own", Metrics: true} }
func (own) Collect(_ context.Context, _ *probe.Host, r *probe.Report) error {
	r.Sample(&metric.Load1, 1)
	return nil
}

// TestTypesAndHelpAreThoseOfTheFile reads what node_exporter prints in the same way, but for
// help that it makes up.
func TestTypesAndHelpAreThoseOfTheFile(t *testing.T) {
	const a = `# HELP c_total Made \\ up.\nTwo lines.
# TYPE c_total counter
c_total 3
# TYPE g gauge
g 1
# HELP h Bounds
# TYPE h histogram
h_bucket{le="2"} 1
h_bucket{le="10"} 2
h_bucket{le="+Inf"} 3
h_sum 1.5
h_count 3
# TYPE h_bytes gauge
h_bytes 1
# TYPE n_count untyped
n_count 9
# HELP s 
# TYPE s summary
s{quantile="0.5"} 3
s_sum 6
s_count 2
`
	root := probetest.Tree(t, map[string]string{"t/a.prom": a, "t/b.prom": "# TYPE h gauge\nh 1\n", "t/c.prom": "# TYPE g counter\ng{l=\"1\"} 2\nplain 1\nnode_load1{of=\"x\"} 1\n"})
	res := probe.RunOnce(t.Context(), probe.RootHost(root), New("/t"))
	var out strings.Builder
	if err := probe.WriteExposition(&out, res); err != nil {
		t.Fatal(err)
	}
	got := ""
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, "node_textfile_") {
			got += line
		}
	}
	want := strings.ReplaceAll(a, "# HELP s \n", "")
	want = strings.Replace(want, "g 1\n", "g 1\ng{l=\"1\"} 2\n", 1)
	want = strings.Replace(want, "# TYPE s summary", "# HELP node_load1 1 minute load average.\n# TYPE node_load1 gauge\nnode_load1{of=\"x\"} 1\n# TYPE plain untyped\nplain 1\n# TYPE s summary", 1)
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if want := "b.prom: h has another type in a file before it"; res.Err == nil || !strings.Contains(res.Err.Error(), want) {
		t.Errorf("error %v, want %s", res.Err, want)
	}
	if !strings.Contains(out.String(), `node_textfile_mtime_seconds{file="/t/a.prom"}`) {
		t.Errorf("the path is not told:\n%s", out.String())
	}
}

func TestAFileThatLeadsNowhereIsTold(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"t/gone.prom": "-> nowhere", "t/bad.prom": "x\n"})
	res := probe.RunOnce(t.Context(), probe.RootHost(root), New("/t"))
	if res.Err == nil || probe.Absent(res.Err) || !strings.Contains(res.Err.Error(), "gone.prom: a link that leads nowhere") {
		t.Errorf("%v", res.Err)
	}
}

func TestASeriesComesOnce(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"t/a.prom": "x{l=\"1\"} 5\n", "t/b.prom": "y 1\nx{l=\"1\"} 6\n",
		"t/c.prom": "# mine\nnode_load1 9\n", "t/d.prom": "x{l=\"2\"} 7\n"})
	p, h := New("/t"), probe.RootHost(root)
	read := func() (values []float64, err string) {
		t.Helper()
		res := probe.RunOnce(t.Context(), h, own{}, p)
		for _, s := range res.Frame.Samples {
			if res.Series[s.Series].Name != "node_textfile_mtime_seconds" {
				values = append(values, s.Value)
			}
		}
		return values, fmt.Sprint(res.Err)
	}
	const own = "c.prom: line 2: node_load1 is given by the agent itself"
	for range 2 { // as long as nothing changes
		values, err := read()
		if !slices.Equal(values, []float64{1, 5, 7, 1}) || err != "probe textfile: b.prom: line 2: x is given by another file before it\n"+own {
			t.Errorf("%v, %s", values, err)
		}
	}
	probetest.Write(t, root, "t/a.prom", []byte("other 50\n"))
	if values, err := read(); !slices.Equal(values, []float64{1, 50, 1, 6, 7, 1}) || err != "probe textfile: "+own {
		t.Errorf("after one was mended: %v, %s", values, err)
	}
}

func TestNoFolderIsUnsupported(t *testing.T) {
	res := probe.RunOnce(t.Context(), probe.RootHost(t.TempDir()), New("/none"))
	if len(res.Frame.Samples) != 0 || res.Err == nil {
		t.Errorf("%v, %v", res.Frame.Samples, res.Err)
	}
}
