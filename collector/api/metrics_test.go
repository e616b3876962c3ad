package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/collector/api"
	"atalaya/collector/api/apitest"
	"atalaya/collector/api/v1"
)

func TestMetricAnswersHavePrometheusForm(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	f := func(target, want string) {
		t.Helper()
		if diff := cmp.Diff(want, strings.TrimSpace(do(a, "GET", "/api/v1/"+target, "reader", "").Body.String())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	f("query?query=node_load1&time=1700000000.5", `{"status":"success","data":{"resultType":"vector","result":[`+
		`{"metric":{"__name__":"node_load1","host":"db1","host_id":"d0d0d0d0d0d0d0d0"},"value":[1700000000.5,"17.25"]},`+
		`{"metric":{"__name__":"node_load1","host":"web1","host_id":"3e3e3e3e3e3e3e3e"},"value":[1700000000.5,"0.42"]}]}}`)
	f("query?query=absent", `{"status":"success","data":{"resultType":"vector","result":[]}}`)
	f("query_range?query=absent&start=0&end=1&step=1", `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	f("labels", `{"status":"success","data":["__name__","host","host_id"]}`)
	f("label/host/values", `{"status":"success","data":["db1","web1"]}`)
	f("label/absent/values", `{"status":"success","data":[]}`)
	f("series?match[]=absent", `{"status":"success","data":[]}`)
	f("metadata?metric=node_load1", `{"status":"success","data":{"node_load1":[{"type":"gauge","help":"A reading.","unit":""}]}}`)
	f("query?query=sum(", `{"status":"error","errorType":"bad_data","error":"invalid request: parse error in \"sum(\""}`)
	f("series", `{"status":"error","errorType":"bad_data","error":"invalid request: no match[] parameter provided"}`)
}

func TestFormAndQueryMeanTheSame(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	form := url.Values{"query": {"node_load1"}, "start": {"2023-11-14T22:13:20Z"}, "end": {"1700000060"}, "step": {"30s"}}
	get := do(a, "GET", "/api/v1/query_range?"+form.Encode(), "reader", "")
	r := httptest.NewRequest("POST", "/api/v1/query_range", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer reader")
	post := httptest.NewRecorder()
	a.ServeHTTP(post, r)
	if get.Code != http.StatusOK || get.Body.String() != post.Body.String() {
		t.Errorf("GET %d %s\nPOST %d %s", get.Code, get.Body, post.Code, post.Body)
	}
	var doc v1.PromResponse
	var data v1.QueryData
	if err := json.Unmarshal(get.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc.Data, &data); err != nil {
		t.Fatal(err)
	}
	if got := data.Matrix[0].Values; len(got) != 3 || got[2] != (v1.Point{At: 1_700_000_060_000, Value: 17.25}) {
		t.Errorf("points %v", got)
	}
}

func TestRangeParametersAreBounded(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	f := func(start, end, step string) {
		t.Helper()
		q := url.Values{"query": {"node_load1"}, "start": {start}, "end": {end}, "step": {step}}
		w := do(a, "GET", "/api/v1/query_range?"+q.Encode(), "reader", "")
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"errorType":"bad_data"`) {
			t.Errorf("start=%s end=%s step=%s: %d %s", start, end, step, w.Code, w.Body)
		}
	}
	f("0", "86400", "1")
	f("0", "60", "0")
	f("0", "60", "-15")
	f("0", "60", "")
	f("0", "60", "1e400")
	f("0", "60", "NaN")
	f("0", "60", "15 seconds")
	f("60", "0", "15")
	f("", "60", "15")
	f("-1e308", "1e308", "1")
	f("NaN", "60", "15")
	f("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1m")
}

func TestTimeoutParameterShortensAQuery(t *testing.T) {
	fleet := apitest.Sample()
	c := config(fleet)
	c.Metrics = slow{fleet}
	a, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := do(a, "GET", "/api/v1/query?query=node_load1&timeout=10ms", "reader", "")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"errorType":"timeout"`) {
		t.Errorf("%d %s, want a timeout", w.Code, w.Body)
	}
}

func TestTimeoutMustBeMoreThanNothing(t *testing.T) {
	a := newAPI(t, apitest.Sample())
	for _, timeout := range []string{"-1", "0", "-1s", "soon"} {
		w := do(a, "GET", "/api/v1/query?query=node_load1&timeout="+timeout, "reader", "")
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"errorType":"bad_data"`) {
			t.Errorf("timeout=%s: %d %s", timeout, w.Code, w.Body)
		}
	}
}

// slow answers a query only when its time is up.
type slow struct{ *apitest.Fleet }

func (slow) Query(ctx context.Context, _ string, _ time.Time) (api.Result, error) {
	<-ctx.Done()
	return api.Result{}, ctx.Err()
}
