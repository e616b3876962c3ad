package probe_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"atalaya/agent/probe"
)

var update = flag.Bool("update", false, "rewrite golden files")

const fixture = "../../testdata/hosts/debian-12-metrics"

// unpack writes the files of the fixture below a new folder.
func unpack(t *testing.T) (root string, files []txtar.File) {
	t.Helper()
	archive, err := txtar.ParseFile(fixture + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for _, f := range archive.Files {
		write(t, root, f.Name, f.Data)
	}
	return root, archive.Files
}

func write(t *testing.T, root, name string, data []byte) {
	t.Helper()
	p := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readings returns what the raw readers say of a host, by name and labels:
// node_cpu_seconds_total/0/user.
func readings(t *testing.T, h *probe.Host, probes ...probe.Probe) map[string]float64 {
	t.Helper()
	res := probe.RunOnce(t.Context(), h, probes...)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	out := make(map[string]float64)
	for _, s := range res.Frame.Samples {
		name := res.Series[s.Series].Name
		for _, l := range res.Series[s.Series].Labels {
			name += "/" + l.Value
		}
		out[name] = s.Value
	}
	return out
}

func TestMetricsOfARecordedHost(t *testing.T) {
	root, _ := unpack(t)
	res := probe.RunOnce(t.Context(), probe.RootHost(root), linuxProbes()...)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	var got bytes.Buffer
	if err := probe.WriteExposition(&got, res); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(fixture+".want", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(fixture + ".want")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("readings differ (-want +got), rewrite with -update:\n%s", diff)
	}
}

// TestADamagedFileSpoilsOnlyItself damages one file of the host after another: the
// readings of all others stay, and nothing is invented.
func TestADamagedFileSpoilsOnlyItself(t *testing.T) {
	root, files := unpack(t)
	whole := readings(t, probe.RootHost(root), linuxProbes()...)
	damages := map[string]func(data []byte) []byte{
		"gone":  func([]byte) []byte { return nil },
		"empty": func([]byte) []byte { return []byte{} },
		"cut":   func(data []byte) []byte { return data[:len(data)/2] },
		"garbage": func(data []byte) []byte {
			return bytes.Repeat([]byte{0, 0xff, ':', ' ', '\n', 'c', 'p', 'u', '9', 'x'}, len(data)/8+1)
		},
		"letters": func(data []byte) []byte { return bytes.Map(lettersForDigits, data) },
		"huge":    func(data []byte) []byte { return bytes.Repeat(data, (5<<20)/len(data)+1) },
	}
	for kind, damage := range damages {
		t.Run(kind, func(t *testing.T) {
			for _, f := range files {
				data := damage(f.Data)
				if data == nil {
					if err := os.Remove(filepath.Join(root, filepath.FromSlash(f.Name))); err != nil {
						t.Fatal(err)
					}
				} else {
					write(t, root, f.Name, data)
				}
				res := probe.RunOnce(t.Context(), probe.RootHost(root), linuxProbes()...)
				if lost := len(whole) - len(res.Frame.Samples); lost < 0 || lost > 40 {
					t.Errorf("%s: %d of %d readings are left", f.Name, len(res.Frame.Samples), len(whole))
				}
				for _, s := range res.Frame.Samples {
					if s.Value < 0 || s.Value > 1e18 {
						t.Errorf("%s: %s is %v", f.Name, res.Series[s.Series].Name, s.Value)
					}
				}
				write(t, root, f.Name, f.Data)
			}
		})
	}
}

func lettersForDigits(r rune) rune {
	if '0' <= r && r <= '9' {
		return 'a' + r - '0'
	}
	return r
}
