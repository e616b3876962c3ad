package query

import (
	"errors"
	"strings"
	"testing"
)

func TestOneStatementIsAnswered(t *testing.T) {
	f := newSmallFleet(t)
	for sql, want := range map[string]string{
		"select 1;":                                    "1",
		" ; select 1 ; ; ":                             "1",
		"-- a;b\nselect 1 -- c;d":                      "1",
		"/* a;b */ select 1; /* c;d":                   "1",
		"select 'a;''b', \"c\" from (select 2 as [c])": "a;'b|2",
		"select ';' as \"x;\", 3 as [y;], 4 as `z;`;":  ";|3|4",
	} {
		if got := f.ask(Request{SQL: sql}); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	for sql, want := range map[string]string{
		"select 1; select 2":                   "one SELECT only, and these are 2 statements",
		"select ';'; select 2; -- c\nselect 3": "3 statements",
		"select 1;;select [;]":                 "2 statements",
		"select 1\x00; select 2":               "NUL",
		" -- nothing":                          "it is empty",
		"/* nothing */;":                       "it is empty",
	} {
		if a, err := f.engine.Run(t.Context(), Request{SQL: sql}); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", sql, a, err, want)
		}
	}
}

func FuzzStatements(f *testing.F) {
	for _, s := range []string{"select 1; select 2", "'", "a''b;\"", "-- ;\n/* ; */", "[;]`;`", "/*/", "--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := statements(s); n > strings.Count(s, ";")+1 {
			t.Errorf("%q: %d statements", s, n)
		}
		if n := statements("select '" + strings.ReplaceAll(s, "'", "''") + "' /*" + strings.ReplaceAll(s, "/", "") + "*/"); n != 1 {
			t.Errorf("%q within a string and a comment: %d statements", s, n)
		}
		if n := statements("--" + strings.ReplaceAll(s, "\n", "") + "\n;"); n != 0 {
			t.Errorf("%q within a comment: %d statements", s, n)
		}
	})
}
