package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"atalaya/collector/api"
	"atalaya/collector/api/apitest"
	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(f *apitest.Fleet) api.Config {
	return api.Config{
		Inventory: f, CMDB: f, Alerts: f, Metrics: f, Queries: f, Operations: f, Assets: f, Finder: f, Tokens: apitest.RoleTokens{}, Version: "0.1.0",
		Now: func() time.Time { return f.Now }, Log: slog.New(slog.DiscardHandler),
	}
}

func newAPI(t testing.TB, f *apitest.Fleet) *api.API {
	t.Helper()
	a, err := api.New(config(f))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// do sends a request with the token (none when empty) and returns the answer.
func do(a *api.API, method, target, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// routes gives a request that succeeds for each pattern of the permission table.
var routes = map[string]struct{ target, body string }{
	"GET /healthz":                                {target: "/healthz"},
	"GET /openapi.json":                           {target: "/openapi.json"},
	"GET /api/v1/hosts":                           {target: "/api/v1/hosts"},
	"GET /api/v1/hosts/{host}":                    {target: "/api/v1/hosts/web1"},
	"GET /api/v1/hosts/{host}/sections/{section}": {target: "/api/v1/hosts/web1/sections/packages"},
	"GET /api/v1/hosts/{host}/history":            {target: "/api/v1/hosts/web1/history"},
	"GET /api/v1/hosts/{host}/diff":               {target: "/api/v1/hosts/web1/diff"},
	"GET /api/v1/changes":                         {target: "/api/v1/changes?host=web1&from=2026-03-01T00:00:00Z"},
	"GET /api/v1/packages":                        {target: "/api/v1/packages?name=openssl"},
	"GET /api/v1/patches":                         {target: "/api/v1/patches"},
	"GET /api/v1/cis":                             {target: "/api/v1/cis"},
	"GET /api/v1/cis/{id}":                        {target: "/api/v1/cis/host%2F3e3e3e3e3e3e3e3e"},
	"GET /api/v1/cis/{id}/impact":                 {target: "/api/v1/cis/host%2F3e3e3e3e3e3e3e3e/impact"},
	"GET /api/v1/rules":                           {target: "/api/v1/rules"},
	"POST /api/v1/rules/check":                    {target: "/api/v1/rules/check", body: `{"content":"groups: []"}`},
	"GET /api/v1/alerts":                          {target: "/api/v1/alerts"},
	"GET /api/v1/alerts/{id}":                     {target: "/api/v1/alerts/a1"},
	"GET /api/v1/status":                          {target: "/api/v1/status"},
	"GET /api/v1/query":                           {target: "/api/v1/query?query=node_load1"},
	"POST /api/v1/query":                          {target: "/api/v1/query?query=node_load1"},
	"GET /api/v1/query_range":                     {target: "/api/v1/query_range?query=node_load1&start=0&end=60&step=15"},
	"POST /api/v1/query_range":                    {target: "/api/v1/query_range?query=node_load1&start=0&end=60&step=15s"},
	"GET /api/v1/labels":                          {target: "/api/v1/labels"},
	"POST /api/v1/labels":                         {target: "/api/v1/labels"},
	"GET /api/v1/label/{name}/values":             {target: "/api/v1/label/host/values"},
	"GET /api/v1/series":                          {target: "/api/v1/series?match[]=node_load1"},
	"POST /api/v1/series":                         {target: "/api/v1/series?match[]=node_load1"},
	"GET /api/v1/metadata":                        {target: "/api/v1/metadata"},
	"GET /api/v1/status/buildinfo":                {target: "/api/v1/status/buildinfo"},
	"POST /api/v1/sql":                            {target: "/api/v1/sql", body: `{"sql":"select name from hosts"}`},
	"GET /api/v1/sql/schema":                      {target: "/api/v1/sql/schema"},
	"GET /api/v1/sql/saved":                       {target: "/api/v1/sql/saved"},
	"PUT /api/v1/sql/saved/{name}":                {target: "/api/v1/sql/saved/all", body: `{"sql":"select name from hosts"}`},
	"DELETE /api/v1/sql/saved/{name}":             {target: "/api/v1/sql/saved/kept"},
	"POST /api/v1/hosts/{host}/revoke":            {target: "/api/v1/hosts/web1/revoke"},
	"POST /api/v1/hosts/{host}/remove":            {target: "/api/v1/hosts/web1/remove", body: `{"reason":"sold"}`},
	"POST /api/v1/hosts/{host}/revive":            {target: "/api/v1/hosts/gone/revive"},
	"POST /api/v1/hosts/{host}/tags":              {target: "/api/v1/hosts/web1/tags", body: `{"add":["web"]}`},
	"GET /api/v1/removed-hosts":                   {target: "/api/v1/removed-hosts"},
	"GET /api/v1/hosts/{host}/identity":           {target: "/api/v1/hosts/web1/identity"},
	"GET /api/v1/hosts/{host}/identity/{other}":   {target: "/api/v1/hosts/web1/identity/db1"},
	"POST /api/v1/hosts/{host}/merge":             {target: "/api/v1/hosts/web1/merge", body: `{"other":"db1","apply":true}`},
	"POST /api/v1/hosts/{host}/unmerge":           {target: "/api/v1/hosts/web1/unmerge", body: `{}`},
	"POST /api/v1/hosts/{host}/accept":            {target: "/api/v1/hosts/web1/accept"},
	"GET /api/v1/search":                          {target: "/api/v1/search?text=web1"},
	"GET /api/v1/assets":                          {target: "/api/v1/assets?where=owner%3DAna*"},
	"GET /api/v1/assets/{asset}":                  {target: "/api/v1/assets/IT-1"},
	"POST /api/v1/assets":                         {target: "/api/v1/assets", body: `{"set":{"asset_tag":"IT-2"}}`},
	"POST /api/v1/assets/{asset}/edit":            {target: "/api/v1/assets/IT-1/edit", body: `{"set":{"owner":"Ben"},"unset":["warranty_end"],"reason":"x"}`},
	"POST /api/v1/assets/{asset}/lock":            {target: "/api/v1/assets/IT-1/lock", body: `{"fields":["owner"]}`},
	"POST /api/v1/assets/{asset}/unlock":          {target: "/api/v1/assets/IT-1/unlock", body: `{"fields":["location"]}`},
	"POST /api/v1/assets/{asset}/remove":          {target: "/api/v1/assets/IT-7/remove", body: `{"reason":"x"}`},
	"GET /api/v1/asset-history":                   {target: "/api/v1/asset-history?asset=IT-1"},
	"GET /api/v1/asset-fields":                    {target: "/api/v1/asset-fields"},
	"PUT /api/v1/asset-fields/{name}":             {target: "/api/v1/asset-fields/size", body: `{"type":"number"}`},
	"DELETE /api/v1/asset-fields/{name}":          {target: "/api/v1/asset-fields/colour"},
	"POST /api/v1/asset-import":                   {target: "/api/v1/asset-import", body: `{"content":"YXNzZXRfdGFnLG93bmVyCklULTMsQmVuCg==","apply":true}`},
	"GET /api/v1/asset-export":                    {target: "/api/v1/asset-export"},
	"GET /api/v1/tokens":                          {target: "/api/v1/tokens"},
	"POST /api/v1/tokens":                         {target: "/api/v1/tokens", body: `{"kind":"enrol"}`},
	"DELETE /api/v1/tokens/{id}":                  {target: "/api/v1/tokens/tok1"},
	"POST /api/v1/scrub":                          {target: "/api/v1/scrub"},
	"GET /api/v1/backup":                          {target: "/api/v1/backup"},
}

// TestEveryRouteObeysThePermissionTable asserts each cell of role and route.
func TestEveryRouteObeysThePermissionTable(t *testing.T) {
	table := api.Permissions()
	if got, want := slices.Sorted(maps.Keys(table)), slices.Sorted(maps.Keys(routes)); !slices.Equal(got, want) {
		t.Fatalf("routes of the table and of this test differ:\n%q\n%q", got, want)
	}
	cells := 0
	for pattern, permission := range table {
		method, _, _ := strings.Cut(pattern, " ")
		for _, role := range []auth.Role{"", "nonsense", auth.Reader, auth.Operator, auth.Admin} {
			f := apitest.Sample()
			if _, err := f.CreateToken(context.Background(), v1.TokenRequest{Kind: v1.TokenEnrol}); err != nil {
				t.Fatal(err)
			}
			if err := f.SaveQuery(context.Background(), v1.SavedQuery{Name: "kept", SQL: "select 1"}, false); err != nil {
				t.Fatal(err)
			}
			f.HostList = append(f.HostList, v1.Host{ID: "9090909090909090", Name: "gone"})
			if _, err := f.RemoveHost(context.Background(), "gone", "sold"); err != nil {
				t.Fatal(err)
			}
			w := do(newAPI(t, f), method, routes[pattern].target, string(role), routes[pattern].body)
			want := http.StatusForbidden
			switch {
			case role.Allows(permission):
				want = http.StatusOK
			case !slices.Contains(auth.Roles(), role):
				want = http.StatusUnauthorized
			}
			if got := w.Code; got != want && (want != http.StatusOK || got/100 != 2) {
				t.Errorf("%s as %q: %d, want %d: %s", pattern, role, got, want, w.Body)
			}
			if w.Code/100 != 2 && strings.Contains(w.Body.String(), "web1") {
				t.Errorf("%s as %q: the refusal tells of the fleet: %s", pattern, role, w.Body)
			}
			cells++
		}
	}
	if want := 5 * len(routes); cells != want {
		t.Errorf("%d cells asserted, want %d", cells, want)
	}
}

func TestRefusalDoesNotTellWhatExists(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	for _, token := range []string{"", "nonsense", "reader"} {
		there := do(a, "POST", "/api/v1/hosts/web1/revoke", token, "")
		absent := do(a, "POST", "/api/v1/hosts/nowhere/revoke", token, "")
		if there.Code != absent.Code || there.Body.String() != absent.Body.String() || there.Code < 400 {
			t.Errorf("as %q: %d %s and %d %s", token, there.Code, there.Body, absent.Code, absent.Body)
		}
	}
	known, unknown := do(a, "GET", "/api/v1/hosts", "", ""), do(a, "GET", "/api/v1/secrets", "", "")
	if known.Code != http.StatusUnauthorized || unknown.Code != http.StatusUnauthorized {
		t.Errorf("without token: %d for a route, %d for none, want 401 twice", known.Code, unknown.Code)
	}
}

func TestDocumentsCarryStrictHeaders(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	f := func(target, token, contentType string) {
		t.Helper()
		h := do(a, "GET", target, token, "").Header()
		if got := h.Get("Content-Type"); got != contentType {
			t.Errorf("%s: content type %q, want %q", target, got, contentType)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", target, h)
		}
	}
	f("/api/v1/hosts", "reader", "application/json")
	f("/api/v1/hosts/nowhere", "reader", "application/problem+json")
	f("/api/v1/hosts", "", "application/problem+json")
	f("/api/v1/hosts?limit=0", "reader", "application/problem+json")
	f("/nowhere", "reader", "application/problem+json")
	f("/api/v1/query?query=node_load1", "reader", "application/json")
	f("/api/v1/query?query=", "reader", "application/json")
	f("/openapi.json", "", "application/openapi+json")
	f("/healthz", "", "text/plain; charset=utf-8")
	f("/api/v1/backup", "admin", "application/octet-stream")
}

func TestWrongRequestsBecomeProblems(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	f := func(method, target, body string, status int, code string) {
		t.Helper()
		w := do(a, method, target, "admin", body)
		var p v1.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%s %s: %v in %s", method, target, err, w.Body)
		}
		if w.Code != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" {
			t.Errorf("%s %.80s: %d %+v, want %d %s", method, target, w.Code, p, status, code)
		}
	}
	f("GET", "/api/v1/hosts/nowhere", "", 404, v1.CodeNotFound)
	f("GET", "/api/v1/hosts/web1/sections/secrets", "", 404, v1.CodeNotFound)
	f("GET", "/api/v1/hosts/web1?section=secrets", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts/web1/history?section=secrets", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?limit=0", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?limit=1001", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?verdict=green", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?verdikt=current", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?cursor=!", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?cursor=bm8", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts/"+strings.Repeat("h", 256), "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/packages", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/packages?name=openssl&below=", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts?tag", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/packages?name=openssl&as_of=2099-01-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/packages?name=openssl&as_of=+30d", "", 422, v1.CodeInvalid) // the plus arrives as a blank, and is no age
	f("GET", "/api/v1/hosts/web1/history?to=2099-01-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts/web1/diff?from=2099-01-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/changes?to=2099-01-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("POST", "/api/v1/sql", `{"sql":"select 1","as_of":"2099-01-01T00:00:00Z"}`, 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts/web1/diff?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/hosts/web1/diff?from=yesterday", "", 422, v1.CodeInvalid)
	for _, zero := range []string{"0001-01-01T00:00:00Z", "0001-01-01", "1970-01-01T00:00:00Z"} { // never the present
		f("GET", "/api/v1/packages?name=openssl&as_of="+zero, "", 422, v1.CodeInvalid)
		f("GET", "/api/v1/hosts/web1/history?to="+zero, "", 422, v1.CodeInvalid)
		f("GET", "/api/v1/hosts/web1/history?from="+zero, "", 422, v1.CodeInvalid)
		f("GET", "/api/v1/hosts/web1/diff?to="+zero, "", 422, v1.CodeInvalid)
		f("GET", "/api/v1/changes?to="+zero, "", 422, v1.CodeInvalid)
		f("POST", "/api/v1/sql", `{"sql":"select 1","as_of":"`+zero+`"}`, 422, v1.CodeInvalid)
	}
	f("GET", "/api/v1/changes?host=nowhere", "", 404, v1.CodeNotFound)
	f("GET", "/api/v1/changes?host=web1&tag=web", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/changes?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "", 422, v1.CodeInvalid)
	f("GET", "/api/v1/cis/none%2Fx", "", 404, v1.CodeNotFound)
	f("GET", "/api/v1/alerts/none", "", 404, v1.CodeNotFound)
	f("POST", "/api/v1/hosts/nowhere/remove", `{}`, 404, v1.CodeNotFound)
	f("POST", "/api/v1/hosts/web1/revive", "", 404, v1.CodeNotFound)
	f("POST", "/api/v1/hosts/web1/remove", `{"reason":"`+strings.Repeat("x", 201)+`"}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/hosts/web1/tags", `{}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/hosts/web1/tags", `{"add":["two words"]}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/hosts/web1/tags", `{"add":["-x"]}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/hosts/web1/tags", `{"add":["x"],"remove":["x"]}`, 422, v1.CodeInvalid)
	f("DELETE", "/api/v1/tokens/none", "", 404, v1.CodeNotFound)
	f("POST", "/api/v1/tokens", `{"kind":"api"}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":"enrol","role":"admin"}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":"api","role":"root"}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":"api","role":"reader","address":"x:1"}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":"api","role":"reader","ttl_seconds":-1}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":"enrol","surprise":1}`, 422, v1.CodeInvalid)
	f("POST", "/api/v1/tokens", `{"kind":`, 400, v1.CodeInvalid)
	f("POST", "/api/v1/rules/check", `{"content":"`+strings.Repeat("x", 2<<20)+`"}`, 413, v1.CodeInvalid)
	f("GET", "/api/v1/nowhere", "", 404, v1.CodeNotFound)
	f("GET", "/debug/pprof/", "", 404, v1.CodeNotFound)
	f("PUT", "/api/v1/hosts", "", 405, v1.CodeInvalid)
	f("DELETE", "/api/v1/hosts/web1", "", 405, v1.CodeInvalid)
}

func TestInnerErrorsStayInside(t *testing.T) {
	fleet := apitest.Sample()
	a := newAPI(t, fleet)
	fleet.Fail(errors.New("open /var/lib/atalaya/state.db: secret detail"))
	for pattern, route := range routes {
		method, _, _ := strings.Cut(pattern, " ")
		if pattern == "GET /api/v1/backup" || pattern == "GET /api/v1/status/buildinfo" || pattern == "GET /api/v1/sql/schema" || !strings.Contains(pattern, "/v1/") {
			continue // the backup has begun; the others ask nobody
		}
		w := do(a, method, route.target, "admin", route.body)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s, want 500 without the cause", pattern, w.Code, w.Body)
		}
	}
	fleet.Fail(context.DeadlineExceeded)
	if w := do(a, "GET", "/api/v1/hosts", "reader", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("deadline: %d, want 503", w.Code)
	}
}

func TestPagesJoinToTheWholeList(t *testing.T) {
	server := httptest.NewServer(newAPI(t, apitest.Sample()))
	defer server.Close()
	client, err := v1.NewClient(server.URL, "reader")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var names []string
	q := v1.HostQuery{Page: v1.Page{Limit: 2}}
	for pages := 1; ; pages++ {
		page, err := client.Hosts(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range page.Hosts {
			names = append(names, h.Name)
		}
		if q.Cursor = page.Next; page.Next == "" {
			if pages != 2 {
				t.Errorf("%d pages, want 2", pages)
			}
			break
		}
	}
	if want := []string{"db1", "lab", "web1"}; !slices.Equal(names, want) {
		t.Errorf("hosts %q, want %q", names, want)
	}
}

func TestIndexAgeIsCountedAtTheAnswer(t *testing.T) {
	var page v1.PatchPage
	w := do(newAPI(t, apitest.Sample()), "GET", "/api/v1/patches?host=db1", "reader", "")
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if h := page.Hosts[0]; h.IndexAgeSeconds == nil || *h.IndexAgeSeconds != 3*3600 || len(h.Updates) != 2 {
		t.Errorf("patch state %+v, want an index age of 3 h and 2 updates", h)
	}
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	w := do(newAPI(t, apitest.Sample()), "GET", "/openapi.json", "", "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %q, want 3.1", doc.OpenAPI)
	}
	for pattern := range api.Permissions() {
		method, path, _ := strings.Cut(pattern, " ")
		formOfGet := method == "POST" && doc.Paths[path]["get"] != nil && path != "/api/v1/tokens"
		if !strings.HasPrefix(path, "/api/") || formOfGet {
			continue
		}
		if _, ok := doc.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("%s is not described", pattern)
		}
	}
	if strings.Contains(w.Body.String(), "$schema") {
		t.Error("documents would carry $schema")
	}
}

func TestBackupThatFailsIsCutOff(t *testing.T) {
	fleet := apitest.Sample()
	fleet.Saved = bytes.Repeat([]byte("state"), 1<<16)
	server := httptest.NewServer(newAPI(t, fleet))
	defer server.Close()
	client, err := v1.NewClient(server.URL, "admin")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var whole bytes.Buffer
	if _, err := client.Backup(context.Background(), &whole); err != nil || !bytes.Equal(whole.Bytes(), fleet.Saved) {
		t.Errorf("backup of %d bytes, %v, want %d", whole.Len(), err, len(fleet.Saved))
	}
	fleet.Fail(errors.New("disk went away"))
	if n, err := client.Backup(context.Background(), io.Discard); err == nil {
		t.Errorf("a backup cut after %d bytes was taken for whole", n)
	}
}

// TestHostileValuesStayData sends every hostile text through every document.
func TestHostileValuesStayData(t *testing.T) {
	for _, value := range apitest.HostileValues() {
		a := newAPI(t, apitest.Hostile(value))
		for pattern, route := range routes {
			method, path, _ := strings.Cut(pattern, " ")
			if !strings.HasPrefix(path, "/api/v1/") || method != "GET" || strings.HasSuffix(path, "/backup") || strings.HasSuffix(path, "/asset-export") {
				continue
			}
			target := strings.NewReplacer("web1", "d0d0d0d0d0d0d0d0", "name=openssl", "name=*", "host%2F3e3e3e3e3e3e3e3e", "nowhere").Replace(route.target)
			body := do(a, method, target, "admin", "").Body.Bytes()
			if !json.Valid(body) {
				t.Errorf("%s with %.40q: not JSON: %.200s", pattern, value, body)
			}
			if i := bytes.IndexFunc(body, v1.Unsafe); i >= 0 {
				t.Errorf("%s with %.40q: raw %q at %d", pattern, value, body[i:min(i+4, len(body))], i)
			}
			if bytes.ContainsAny(body, "<>") {
				t.Errorf("%s with %.40q: raw markup", pattern, value)
			}
		}
	}
}

func TestNamesInPathsAreOneSegment(t *testing.T) {
	for _, name := range apitest.HostileValues() {
		if len(name) > 255 {
			continue // refused by length
		}
		fleet := apitest.Hostile(name)
		server := httptest.NewServer(newAPI(t, fleet))
		client, err := v1.NewClient(server.URL, "admin")
		if err != nil {
			t.Fatal(err)
		}
		detail, err := client.Host(context.Background(), name, false)
		if err != nil || detail.Host.ID != fleet.HostList[0].ID {
			t.Errorf("host %q: %+v, %v", name, detail.Host.ID, err)
		}
		if _, err := client.Impact(context.Background(), "host/"+name); err != nil {
			t.Errorf("ci %q: %v", "host/"+name, err)
		}
		client.Close()
		server.Close()
	}
}

func TestLocalSocketNeedsNoToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	socket, err := auth.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := auth.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	a := newAPI(t, apitest.Sample())
	go func() { served <- a.Serve(ctx, socket, tcp) }()

	local := v1.NewSocketClient(path)
	if list, err := local.Tokens(ctx); err != nil || list.Tokens == nil {
		t.Errorf("through the socket: %+v, %v", list, err)
	}
	remote, err := v1.NewClient(tcp.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Hosts(ctx, v1.HostQuery{}); !v1.IsCode(err, v1.CodeUnauthorised) {
		t.Errorf("through TCP without token: %v, want unauthorised", err)
	}
	local.Close()
	remote.Close()
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil after a stop", err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is still open")
	}
}
