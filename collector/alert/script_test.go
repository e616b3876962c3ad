package alert

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/metric"
)

const scriptDir = "../../testdata/rules/alert"

func readScripts(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scriptDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts:", err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// TestScripts runs testdata/rules/alert/*.txt over the real metrics engine:
//
//	rules FILE                   beside the script, instead of the default rules
//	every 1m                     interval of evaluations, default 15s
//	load 1m SERIES VALUE...      values from time 0; "_" is none, "5x3" is 5 5 5,
//	                             "5+2x3" is 5 7 9
//	eval at 3m  NAME{label="value"} pending|firing    evaluates up to that time; all
//	                             active alerts of a time must be listed
//	eval at 3m  none
//	text at 3m  NAME summary TEXT...    an annotation of the alert at the last eval
func TestScripts(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(scriptDir, "*.txt"))
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, every: DefaultInterval, samples: map[int64][]series.Sample{}, want: map[time.Duration][]string{}}
			for i, line := range strings.Split(string(b), "\n") {
				if err := s.read(line); err != nil {
					t.Fatalf("%s:%d: %v", file, i+1, err)
				}
			}
			s.run()
		})
	}
}

type script struct {
	t       *testing.T
	rules   []string
	every   time.Duration
	samples map[int64][]series.Sample // by ms
	want    map[time.Duration][]string
	texts   []string
}

// scriptStart is time 0 of all scripts.
var scriptStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func (s *script) read(line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		return nil
	case f[0] == "rules" && len(f) == 2:
		s.rules = append(s.rules, filepath.Join(scriptDir, f[1]))
		return nil
	case f[0] == "every" && len(f) == 2:
		var err error
		s.every, err = time.ParseDuration(f[1])
		return err
	case f[0] == "load" && len(f) > 3:
		return s.load(f[1], f[2], f[3:])
	case f[0] == "eval" && len(f) > 3:
		at, err := time.ParseDuration(f[2])
		rest := strings.Join(f[3:], " ")
		if rest == "none" {
			rest = ""
		}
		s.want[at] = append(s.want[at], rest)
		return err
	case f[0] == "text" && len(f) > 5:
		s.texts = append(s.texts, line)
		return nil
	}
	return fmt.Errorf("not understood: %q", line)
}

func (s *script) load(step, selector string, values []string) error {
	every, err := time.ParseDuration(step)
	if err != nil {
		return err
	}
	ls, err := parser.NewParser(parser.Options{}).ParseMetric(selector)
	if err != nil {
		return err
	}
	var all []metric.Label
	for _, name := range slices.Sorted(maps.Keys(ls.Map())) {
		all = append(all, metric.Label{Name: name, Value: ls.Get(name)})
	}
	at := scriptStart
	for _, word := range values {
		list, err := expand(word)
		if err != nil {
			return err
		}
		for _, v := range list {
			if v != nil {
				s.samples[at.UnixMilli()] = append(s.samples[at.UnixMilli()], series.Sample{Labels: all, At: at.UnixMilli(), Value: *v})
			}
			at = at.Add(every)
		}
	}
	return nil
}

// expand returns the values of a word; nil is a missing one.
func expand(word string) ([]*float64, error) {
	spec, count, times := strings.Cut(word, "x")
	n := 1
	var err error
	if times {
		if n, err = strconv.Atoi(count); err != nil {
			return nil, err
		}
	}
	if spec == "_" {
		return make([]*float64, n), nil
	}
	first, step, _ := strings.Cut(spec, "+")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil, err
	}
	var by float64
	if step != "" {
		if by, err = strconv.ParseFloat(step, 64); err != nil {
			return nil, err
		}
	}
	var out []*float64
	for i := range n {
		x := v + float64(i)*by
		out = append(out, &x)
	}
	return out, nil
}

func (s *script) run() {
	t := s.t
	times := slices.Sorted(maps.Keys(s.want))
	end := scriptStart.Add(times[len(times)-1])
	db, err := series.Open(series.Config{Dir: t.TempDir(), Now: func() time.Time { return end.Add(time.Hour) }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all series.Vector
	for _, ms := range slices.Sorted(maps.Keys(s.samples)) {
		all = append(all, s.samples[ms]...)
	}
	if err := db.Record(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	st := openStore(t, filepath.Join(t.TempDir(), "state.db"))
	defer st.Close()
	e, err := Open(Config{Store: st, Query: db, Record: db, Files: s.rules, NoDefaults: len(s.rules) > 0, Interval: s.every, Now: func() time.Time { return end }})
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at <= times[len(times)-1]; at += s.every {
		for _, g := range e.groups {
			if err := e.evaluate(t.Context(), g, scriptStart.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
		if want, ok := s.want[at]; ok {
			s.compare(e, at, want)
		}
	}
	for _, r := range e.Rules() {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Name, r.Err)
		}
	}
}

func (s *script) compare(e *Engine, at time.Duration, want []string) {
	var got []string
	active := e.List(Filter{})
	for _, a := range active {
		ls := maps.Clone(a.Labels)
		delete(ls, alertName)
		delete(ls, "severity")
		got = append(got, a.Rule+strings.ReplaceAll(labelText(ls), ", ", ",")+" "+string(a.State))
	}
	want = slices.DeleteFunc(slices.Clone(want), func(w string) bool { return w == "" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("at %s:\n got %s\nwant %s", at, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	for _, line := range s.texts {
		f := strings.Fields(line)
		if d, err := time.ParseDuration(f[2]); err != nil || d != at {
			continue
		}
		text := strings.Join(f[5:], " ")
		if !slices.ContainsFunc(active, func(a Alert) bool { return a.Rule == f[3] && a.Annotations[f[4]] == text }) {
			s.t.Errorf("at %s: no %s of %s is %q in %+v", at, f[4], f[3], text, active)
		}
	}
}

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{Path: path, NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return st
}
