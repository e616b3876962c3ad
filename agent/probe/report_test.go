package probe

import (
	"testing"

	"atalaya/shared/facts"
)

func TestWholeSectionsKeepTheirRevisionUntilARowIsAdded(t *testing.T) {
	rows := []facts.Row{&facts.UserRow{Name: "b"}, &facts.UserRow{Name: "c"}, nil}[:2]
	read := func(limit int, more ...facts.Row) facts.Reading {
		r := NewReport(nil, limit)
		r.Whole(facts.Users, 7, rows)
		if len(more) > 0 {
			r.Add(facts.Users, more...)
		}
		return r.readings([]facts.ID{facts.Users}, 1, nil)[0]
	}
	if got := read(9); got.Revision != 7 || len(got.Rows) != 2 || &got.Rows[0] != &rows[0] {
		t.Errorf("%+v", got)
	}
	if got := read(9, &facts.UserRow{Name: "a"}); got.Revision != 0 || len(got.Rows) != 3 || got.Rows[0].Key() != "a" {
		t.Errorf("after Add: %+v", got)
	}
	if rows[0].Key() != "b" || rows[:3][2] != nil {
		t.Error("Add changed rows that are shared")
	}
	if got := read(1); got.Revision != 0 || got.Status != facts.StatusPartial || len(got.Rows) != 1 {
		t.Errorf("over the limit: %+v", got)
	}
}
