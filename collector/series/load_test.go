package series

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/shared/metric"
)

func TestNothingIsAnsweredOrTakenBeforeLoad(t *testing.T) {
	d := openOnly(t, testConfig(t.TempDir()))
	s := d.Session(testHost, "web1")
	define(t, s, gauge("x")) // agents may greet meanwhile
	a := d.Begin(t.Context())
	a.Append(s, testNow.UnixMilli(), []metric.Sample{{Series: 0, Value: 1}})
	_, query := d.Query(t.Context(), "x", testNow)
	_, labels := d.LabelNames(t.Context(), Selection{})
	_, stats := d.Stats()
	for what, err := range map[string]error{
		"query": query, "labels": labels, "stats": stats, "commit": a.Commit(), "sync": d.Sync(), "record": d.Record(t.Context(), nil), "loading": d.Loading(),
	} {
		if !errors.Is(err, ErrLoading) || !strings.Contains(err.Error(), "still being read from disk; ask again") {
			t.Errorf("%s: %v, want %v and what to do", what, err, ErrLoading)
		}
	}
	var q *QueryError
	if !errors.As(query, &q) || q.Kind != NotYet {
		t.Errorf("query: %#v, want kind %q", query, NotYet)
	}
	if err := d.CheckExpr("rate(x[5m])"); err != nil {
		t.Error("an expression needs no engine:", err)
	}
	if got := d.Trouble(); got != "" {
		t.Errorf("trouble %q of an engine that is not there yet", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the agent is gone")
	cancel(gone)
	if err := d.Ready(ctx); !errors.Is(err, gone) {
		t.Errorf("ready: %v, want %v", err, gone)
	}
	waited := make(chan error)
	go func() { waited <- d.Ready(t.Context()) }()
	load(t, d)
	if err := errors.Join(<-waited, d.Ready(t.Context()), d.Loading()); err != nil {
		t.Error("after load:", err)
	}
	if got := put(t, d, s, testNow, 1); got != (Tally{Stored: 1}) {
		t.Errorf("stored %+v", got)
	}
	if got, want := points(t, d, "x"), "0=1"; got != want {
		t.Errorf("%q, want %q: what was refused must not be there twice", got, want)
	}
}

func TestLogThatCannotBeReadIsAnErrorAndNoEmptyAnswer(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "wal"), nil, 0o600); err != nil { // it should be a folder
		t.Fatal(err)
	}
	d := openOnly(t, testConfig(dir))
	if err := d.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "wal") {
		t.Errorf("load: %v, want an error that names the file", err)
	}
	if _, err := d.Query(t.Context(), "x", testNow); err == nil || errors.Is(err, ErrLoading) || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("query: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := d.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready: %v, want to wait", err)
	}
}

func TestNeitherLoadNorReadyOutlastsClose(t *testing.T) {
	d := openOnly(t, testConfig(t.TempDir()))
	waited := make(chan error)
	go func() { waited <- d.Ready(context.Background()) }()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, ErrClosed) {
		t.Errorf("ready: %v", err)
	}
	if err := d.Load(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("load: %v", err)
	}
}
