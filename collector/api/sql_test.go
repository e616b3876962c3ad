package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/apitest"
	"atalaya/collector/api/v1"
	"atalaya/collector/query"
)

// TestAQueryForEverSaysWhyItEnded, and so does one that finds no room beside it.
func TestAQueryForEverSaysWhyItEnded(t *testing.T) {
	w := newWholeWith(t, query.Config{Connections: 1, Wait: 100 * time.Millisecond, Limits: query.Limits{Time: 700 * time.Millisecond}})
	a, err := api.New(w.parts.Config())
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := w.parts.Tokens.Create("reader", "sql", 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(sql string) (status int, retry, text string) {
		body, err := json.Marshal(v1.SQLRequest{SQL: sql})
		if err != nil {
			t.Error(err)
		}
		answer := do(a, "POST", "/api/v1/sql", token, string(body))
		return answer.Code, answer.Header().Get("Retry-After"), answer.Body.String()
	}
	if status, _, text := ask("select 7"); status != http.StatusOK || !strings.Contains(text, "[[7]]") {
		t.Fatalf("%d %s", status, text)
	}
	ended := make(chan string)
	go func() {
		_, _, text := ask("with recursive n(i) as (select 1 union all select i+1 from n) select count(*) from n")
		ended <- text
	}()
	refused := false
	for {
		select {
		case text := <-ended:
			if want := "query stopped: it took longer than 700ms"; !strings.Contains(text, want) {
				t.Errorf("%s, want %q", text, want)
			}
			if !refused {
				t.Error("no query was refused while that one ran")
			}
			return
		default:
		}
		if status, retry, text := ask("select 7"); status != http.StatusOK {
			refused = true
			if status != http.StatusServiceUnavailable || retry != "3" || !strings.Contains(text, "busy: 1 queries are running, try again") {
				t.Errorf("%d, again after %q: %s", status, retry, text)
			}
		}
	}
}

// TestARunawayCallerHarmsNoOther: who fills its share is told so, and others are answered.
func TestARunawayCallerHarmsNoOther(t *testing.T) {
	w := newWholeWith(t, query.Config{Wait: 50 * time.Millisecond, Limits: query.Limits{Time: 2 * time.Second}})
	a, err := api.New(w.parts.Config())
	if err != nil {
		t.Fatal(err)
	}
	var tokens [2]string
	for i := range tokens {
		if tokens[i], _, err = w.parts.Tokens.Create("reader", "sql", 0); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(who int, sql string) *httptest.ResponseRecorder {
		return do(a, "POST", "/api/v1/sql", tokens[who], `{"sql":"`+sql+`"}`)
	}
	ended := make(chan string)
	for range 5 {
		go func() {
			ended <- ask(0, "with recursive n(i) as (select 1 union all select i+1 from n) select count(*) from n").Body.String()
		}()
	}
	for range 3 {
		if text := <-ended; !strings.Contains(text, "2 of your queries are running, as many as one caller may have at once") || !strings.Contains(text, `"status":429`) {
			t.Fatalf("one of five queries: %s", text)
		}
	}
	if got := ask(0, "select 7"); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" {
		t.Errorf("one more of the same caller: %d %v", got.Code, got.Header())
	}
	if got := ask(1, "select count(*) from hosts"); got.Code != http.StatusOK {
		t.Errorf("another caller: %d %s", got.Code, got.Body)
	}
	for range 2 {
		if text := <-ended; !strings.Contains(text, "it took longer than 2s") {
			t.Errorf("a query for ever: %s", text)
		}
	}
}

func TestSQLAnswersWhatJSONHasNot(t *testing.T) {
	w := newWhole(t)
	out, err := w.SQL(context.Background(), v1.SQLRequest{SQL: "select 1e999, -1e999"})
	if err != nil || len(out.Rows) != 1 || out.Rows[0][0] != "Infinity" || out.Rows[0][1] != "-Infinity" {
		t.Errorf("%+v, %v", out, err)
	}
	var refused *v1.Error
	if out, err := w.SQL(context.Background(), v1.SQLRequest{SQL: "select 1; select 2"}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "one SELECT only") {
		t.Errorf("%+v, %v", out, err)
	}
}

// beyond answers with what JSON cannot hold.
type beyond struct{ *apitest.Fleet }

func (beyond) SQL(context.Context, v1.SQLRequest, time.Time) (out v1.SQLAnswer, err error) {
	out.Rows = [][]any{{math.Inf(1)}}
	return out, nil
}

func TestAnswerThatCannotBeWrittenIsAProblem(t *testing.T) {
	c := config(apitest.Sample())
	c.Queries = beyond{apitest.Sample()}
	a, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := do(a, "POST", "/api/v1/sql", "admin", `{"sql":"select 1"}`)
	var p v1.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusInternalServerError || p.Status != w.Code || p.Code != v1.CodeInternal ||
		w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v %s (%v)", w.Code, w.Header(), w.Body, err)
	}
}
