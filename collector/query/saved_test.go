package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestASavedQueryIsReplacedOnlyWhenToldTo(t *testing.T) {
	f := newFleet(t)
	save := func(name, sql, note string, replace bool) error {
		return f.engine.Save(t.Context(), Saved{Name: name, SQL: sql, Note: note, By: "amy"}, replace)
	}
	for i := range maxSaved - 1 {
		if err := save(fmt.Sprint("q", i), "select 1", "", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := save("kept", "select 1", "what for", false); err != nil {
		t.Fatal(err)
	}
	if err := save("kept", "select 2", "", false); !errors.Is(err, ErrSaved) || !strings.Contains(err.Error(), `"kept", by amy on 2026-11-20`) {
		t.Error(err)
	}
	if s, err := f.engine.Saved("kept"); err != nil || s.SQL != "select 1" {
		t.Error(s, err)
	}
	if err := save("one-more", "select 1", "", true); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), "1000 queries are saved") {
		t.Error(err)
	}
	if err := save("kept", "select 2", "", true); err != nil {
		t.Error(err)
	}
	if s, err := f.engine.Saved("kept"); err != nil || s.SQL != "select 2" || s.Note != "what for" {
		t.Error(s, err)
	}
}

func TestAQueryWithoutATableIsNotToldToAskFewerHosts(t *testing.T) {
	f := newFleet(t)
	const endless = "with recursive n(i) as (select 1 union all select i+1 from n) select count(*) from n"
	_, err := f.engine.Run(t.Context(), Request{SQL: endless, Limits: Limits{Time: 1}})
	if !errors.Is(err, ErrLimit) || strings.Contains(err.Error(), "hosts") {
		t.Error(err)
	}
}
