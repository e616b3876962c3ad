package api

import (
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"atalaya/collector/auth"
	"atalaya/collector/query"
)

// Permissions gives tests the permission table.
func Permissions() map[string]auth.Permission { return maps.Clone(permissions) }

func testConfig() Config {
	return Config{Version: "0", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func TestRouteWithoutPermissionDoesNotStart(t *testing.T) {
	for pattern := range permissions {
		table := maps.Clone(permissions)
		delete(table, pattern)
		if _, err := build(testConfig(), table); err == nil || !strings.Contains(err.Error(), "route \""+pattern+"\" has no permission") {
			t.Errorf("without %s: %v", pattern, err)
		}
	}
	table := maps.Clone(permissions)
	table["GET /api/v1/nowhere"] = auth.Read
	if _, err := build(testConfig(), table); err == nil || !strings.Contains(err.Error(), "which is no route") {
		t.Errorf("with a permission for no route: %v", err)
	}
	if _, err := build(testConfig(), permissions); err != nil {
		t.Errorf("as it is: %v", err)
	}
}

func TestOnlyHarmlessRoutesArePublic(t *testing.T) {
	for pattern, permission := range permissions {
		public := pattern == "GET /healthz" || pattern == "GET /openapi.json"
		if (permission == auth.Public) != public {
			t.Errorf("%s needs %q", pattern, permission)
		}
	}
}

func TestPanicCostsOneRequestOnly(t *testing.T) {
	table := map[string]auth.Permission{"GET /boom": auth.Public}
	g := newGuard(testConfig(), table)
	g.HandleFunc("GET /boom", func(http.ResponseWriter, *http.Request) { panic("inner detail") })
	for range 3 {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", "/boom", nil))
		if body, _ := io.ReadAll(w.Body); w.Code != http.StatusInternalServerError || strings.Contains(string(body), "inner") {
			t.Errorf("%d %s, want 500 without the cause", w.Code, body)
		}
	}
	if len(g.slots) != 0 {
		t.Errorf("%d slots are still taken", len(g.slots))
	}
}

func TestFloodIsRefusedNotQueued(t *testing.T) {
	g := newGuard(testConfig(), map[string]auth.Permission{"GET /wait": auth.Public})
	entered, leave := make(chan struct{}), make(chan struct{})
	g.HandleFunc("GET /wait", func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave })
	done := make(chan struct{})
	for range maxRequests {
		go func() {
			g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/wait", nil))
			done <- struct{}{}
		}()
		<-entered
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest("GET", "/wait", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("request %d: %d, want 503", maxRequests+1, w.Code)
	}
	close(leave)
	for range maxRequests {
		<-done
	}
}

// TestWhatHasALimitOfItsOwnEndsBeforeTheRequest: else its caller would not learn why.
func TestWhatHasALimitOfItsOwnEndsBeforeTheRequest(t *testing.T) {
	if own := query.MaxTime + query.MaxWait; own > requestTime-5*time.Second || own > readTime-5*time.Second {
		t.Errorf("a query may take %s, a request %s, its connection %s", own, requestTime, readTime)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"", "0", "1700000000.123", "2026-03-14T09:30:00Z", "1e999", "NaN", "-0", "9007199254740993", "253402300800", "Inf", "292277026596", "0x1p4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseTime(s)
		if err == nil && math.Abs(float64(at.Unix())) > maxUnix+1 {
			t.Errorf("parseTime(%q) = %v, beyond the years that JSON can hold", s, at)
		}
	})
}

func FuzzParseStep(f *testing.F) {
	for _, s := range []string{"", "15", "0.5", "1m30s", "1y", "1e999", "-1", "NaN", "9223372036854775807ms", "99999999999y", "1s1m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseStep(s); err == nil && d < 0 && !strings.HasPrefix(s, "-") {
			t.Errorf("parseStep(%q) = %v", s, d)
		}
	})
}
