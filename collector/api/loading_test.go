package api_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
	"atalaya/collector/series"
)

// TestWhatNeedsMetricsSaysThatTheyAreStillBeingRead: a client may ask again, and takes
// nothing for empty.
func TestWhatNeedsMetricsSaysThatTheyAreStillBeingRead(t *testing.T) {
	w := newWhole(t)
	w.host(1, "web1")
	dir := filepath.Join(t.TempDir(), "metrics")
	db := must[*series.DB](t)(series.Open(series.Config{Dir: dir, Now: w.parts.Now, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() { must[struct{}](t)(struct{}{}, db.Close()) })
	parts := w.parts
	parts.Series, parts.SeriesDir = db, dir
	a := must[*api.API](t)(api.New(parts.Config()))
	text, _, err := parts.Tokens.Create("admin", "other", 0)
	if err != nil {
		t.Fatal(err)
	}
	get := func(target string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer "+text)
		answer := httptest.NewRecorder()
		a.ServeHTTP(answer, r)
		return answer
	}
	const said = "metrics are still being read from disk; ask again in a few seconds"
	for _, target := range []string{"query?query=up", "query_range?query=up&start=0&end=1&step=1", "labels", "label/host/values", "series?match[]=up"} {
		got := get("/api/v1/" + target)
		want := fmt.Sprintf(`{"status":"error","errorType":%q,"error":%q}`, v1.CodeUnavailable, said)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || strings.TrimSpace(got.Body.String()) != want {
			t.Errorf("%s: %d, retry after %q, %s; want 503 and %s", target, got.Code, got.Header().Get("Retry-After"), got.Body, want)
		}
	}
	if got := get("/api/v1/query?query=sum("); got.Code != http.StatusBadRequest {
		t.Errorf("a wrong expression: %d %s", got.Code, got.Body)
	}
	if got := get("/healthz"); got.Code != http.StatusOK || got.Body.String() != "ok, but "+said+"\n" {
		t.Errorf("healthz: %d %q", got.Code, got.Body)
	}
	if got := get("/api/v1/status").Body.String(); !strings.Contains(got, `"series":null`) || !strings.Contains(got, said+"; until then no alert rule is evaluated") {
		t.Errorf("status %s", got)
	}
	if got := get("/api/v1/hosts"); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "web1") {
		t.Errorf("hosts: %d %s", got.Code, got.Body)
	}
	if err := db.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get("/healthz").Body.String(); got != "ok\n" {
		t.Errorf("healthz once all is there: %q", got)
	}
	if got := get("/api/v1/query?query=up"); got.Code != http.StatusOK {
		t.Errorf("query once all is there: %d %s", got.Code, got.Body)
	}
	if got := get("/api/v1/status").Body.String(); !strings.Contains(got, `"series":0`) || strings.Contains(got, "still") {
		t.Errorf("status once all is there: %s", got)
	}
}
