package collector

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/collector/series"
)

// loading is a collector whose metrics are in dir and not open, and what it told.
func loading(t *testing.T, dir string) (c *collector, told *[]string, log *strings.Builder) {
	t.Helper()
	db, err := series.Open(series.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	told, log = new([]string), new(strings.Builder)
	c = &collector{series: db, opt: Options{Log: slog.New(slog.NewTextHandler(log, nil)), Status: func(text string) error { *told = append(*told, text); return nil }}}
	return c, told, log
}

func TestServiceManagerIsToldWhileMetricsAreRead(t *testing.T) {
	c, told, log := loading(t, t.TempDir())
	if err := c.loadMetrics(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"metrics are still being read from disk, all else is answered", ""}, *told); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(log.String(), "level="); n != 1 || !strings.Contains(log.String(), "metrics can be asked") {
		t.Errorf("log %q", log)
	}
}

func TestMetricsThatCannotBeReadEndTheCollector(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "wal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, told, _ := loading(t, dir)
	if err := c.loadMetrics(t.Context()); err == nil || !strings.Contains(err.Error(), "wal") {
		t.Errorf("%v, want an error that names the file", err)
	}
	if len(*told) != 1 {
		t.Errorf("told %q, want nothing of metrics that can be asked", *told)
	}
}

func TestACollectorThatIsToldToStopDoesNotFail(t *testing.T) {
	c, _, _ := loading(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.watchHosts(ctx); err != nil {
		t.Error(err)
	}
	if err := c.loadMetrics(ctx); err != nil {
		t.Error(err)
	}
}
