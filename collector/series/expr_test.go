package series

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb"

	"atalaya/shared/identity"
)

func nested(open, inner, close string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(close, n)
}

// TestHugeExpressionsAreRefusedBeforeTheyAreParsed: 400,000 brackets took minutes,
// during which neither the timeout nor Close could end the query.
func TestHugeExpressionsAreRefusedBeforeTheyAreParsed(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.QueryTimeout = time.Second
	d := open(t, cfg)
	f := func(expr string, ok bool) {
		t.Helper()
		_, instant := d.Query(t.Context(), expr, testNow)
		_, ranged := d.QueryRange(t.Context(), expr, testNow, testNow, time.Second)
		for name, err := range map[string]error{"check": d.CheckExpr(expr), "query": instant, "range": ranged} {
			if ok != (err == nil) || !ok && kind(err) != BadData {
				t.Errorf("%s of %d bytes, %.20s: %v", name, len(expr), expr, err)
			}
		}
	}
	f(nested("(", "1", ")", 400_000), false)
	f(nested("(", "1", ")", maxExprDepth+1), false)
	f(nested("(", "1", ")", maxExprDepth), true)
	f(nested("abs(", "x", ")", maxExprDepth+1), false)
	f(nested(`x{a=")))"} + (`, "1", ")", maxExprDepth+1), false) // brackets in strings close nothing
	f(nested("( # )\n", "1", ")", maxExprDepth+1), false)        // nor do those in comments
	f(`x{a=~"`+nested("(", "b", ")", maxExprDepth+1)+`"}`, true) // and they open nothing
	f(strings.Repeat("1^", maxExprLen/2-1)+"1", false)
	f(strings.Repeat("-", maxExprOperators+1)+"1", false)
	f(strings.Repeat("x+", 500)+"x", true)
	f(`x{a="`+strings.Repeat("b", maxExprLen)+`"}`, false)

	long := `{a="` + strings.Repeat("b", maxExprLen/2) + `"}`
	for _, match := range [][]string{{nested("(", "x", ")", 400_000)}, {long, long}, {nested("{", "", "}", maxExprDepth+1)}} {
		if _, err := d.Series(t.Context(), Selection{Match: match}); kind(err) != BadData {
			t.Errorf("series of %.20s: %v", match[0], err)
		}
		if _, err := d.LabelNames(t.Context(), Selection{Match: match}); kind(err) != BadData {
			t.Errorf("labels of %.20s: %v", match[0], err)
		}
	}
}

func TestCloseDoesNotWaitForAQueryThatDoesNotEnd(t *testing.T) {
	cfg := testConfig(t.TempDir())
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	load(t, d)
	d.closeTime = 20 * time.Millisecond
	s := d.Session(identity.HostID{1}, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow, 1)
	running, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- d.use(func(*tsdb.DB) error {
			close(running)
			<-end
			return nil
		})
	}()
	<-running
	if err := d.Close(); err == nil || !strings.Contains(err.Error(), "a query did not end") {
		t.Errorf("close while a query runs: %v", err)
	}
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The process would end here.
	if err := d.db.Close(); err != nil {
		t.Error(err)
	}
	if err := d.lock.Release(); err != nil {
		t.Error(err)
	}
}
