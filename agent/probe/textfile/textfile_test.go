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
		samples, err := parse([]byte(in))
		var got []string
		for _, s := range samples {
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
		"# TYPE a counter\n# TYPE a gauge\n", "# TYPE a what\n", "a{__name__=\"b\"} 1\n", "a{b=\"\\q\"} 1\n", "\xff 1\n",
	} {
		f(bad, "error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# TYPE a_total counter\na_total{z=\"1\",b=\"q\\\"\"} +Inf\nb 2\n"))
	f.Add([]byte("a{b=\"\\"))
	f.Fuzz(func(t *testing.T, b []byte) {
		samples, _ := parse(b)
		for _, s := range samples {
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
