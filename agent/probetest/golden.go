package probetest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

var update = flag.Bool("update", false, "rewrite what is expected of recorded hosts")

// Section is the outcome of a section.
type Section struct {
	Status facts.Status `json:"status"`
	Reason string       `json:"reason,omitempty"`
	Rows   []facts.Row  `json:"-"`
}

// Sections runs the probes and returns their sections by name.
func Sections(h *probe.Host, probes ...probe.Probe) map[string]Section {
	out := make(map[string]Section)
	probes = slices.Clone(probes)
	for i, p := range probes {
		probes[i] = patient{p}
	}
	for _, r := range probe.RunOnce(context.Background(), h, probes...).Readings {
		out[r.Section.String()] = Section{r.Status, r.Reason, r.Rows}
	}
	return out
}

// patient is a probe with time for tests on a busy machine: what it says must not depend on
// how long the machine lets it wait.
type patient struct{ probe.Probe }

func (p patient) Info() probe.Info {
	info := p.Probe.Info()
	info.Timeout = 5 * time.Minute
	return info
}

// Benchmark measures whole runs of the probes.
func Benchmark(b *testing.B, h *probe.Host, probes ...probe.Probe) {
	b.ReportAllocs()
	for b.Loop() {
		probe.RunOnce(b.Context(), h, probes...)
	}
}

// Golden runs the probes on a recorded host and compares their sections with what is
// expected of it.
func Golden(t *testing.T, name string, probes ...probe.Probe) {
	t.Helper()
	GoldenSections(t, name, Sections(probe.RootHost(Tree(t, Files(t, name))), probes...))
}

// GoldenSections is Golden for sections that the test has read itself.
func GoldenSections(t *testing.T, name string, sections map[string]Section) {
	t.Helper()
	if len(sections) == 0 {
		t.Errorf("%s: no section was read", name)
	}
	for id, s := range sections {
		var got bytes.Buffer
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		must(t, enc.Encode(s))
		for _, row := range s.Rows {
			must(t, enc.Encode(row))
		}
		golden(t, filepath.Join(name+".want", id+".jsonl"), got.Bytes())
	}
}

// GoldenMetrics runs the probes on a recorded host and compares their metrics with what
// is expected of it.
func GoldenMetrics(t *testing.T, name string, probes ...probe.Probe) {
	t.Helper()
	res := probe.RunOnce(t.Context(), probe.RootHost(Tree(t, Files(t, name))), probes...)
	must(t, res.Err)
	var got bytes.Buffer
	must(t, probe.WriteExposition(&got, res))
	golden(t, filepath.Join(name+".want", "metrics.prom"), got.Bytes())
}

// golden compares with an expected file, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join(hosts(t), name)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got), rewrite with -update:\n%s", filepath.ToSlash(name), difference(string(want), string(got)))
	}
}

// difference shows the lines from the first to the last that differ.
func difference(want, got string) string {
	a, b := slices.Collect(strings.Lines(want)), slices.Collect(strings.Lines(got))
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out strings.Builder
	for _, line := range a {
		out.WriteString("-" + line)
	}
	for _, line := range b {
		out.WriteString("+" + line)
	}
	return out.String()
}
