package query

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/shared/facts"
)

// TestOddValuesOfOneHostDoNotStopAQuestion: the others are answered, and the answer says so.
func TestOddValuesOfOneHostDoNotStopAQuestion(t *testing.T) {
	f := newSmallFleet(t)
	snap := deb("core22", "20240111")
	snap.Source = "snap"
	f.Report(f.Host(4, "odd1"), facts.Packages, deb("odd", "3 0"), deb("openssl", "1.1"), snap)
	for _, c := range []struct {
		sql, want string
		remarks   []Remark
	}{
		{"select host, name from packages where vercmp(source, version, '3.0.11') < 0 order by 1, 2", "odd1|openssl\nweb1|openssl", []Remark{{"vercmp", 2, 8, ""}}},
		{"select vercmp(source, version, '1') from packages where host = 'odd1' and name = 'core22'", "NULL", []Remark{{"vercmp", 1, 1, `versions of "snap" have no order here`}}},
		{"select vercmp(source, version, '1') from packages where host = 'odd1' and name = 'odd'", "NULL", []Remark{{"vercmp", 1, 1, `debian version "3 0"`}}},
		{"select age(version), moment(version), age(installed_at) > 0 from packages where name = 'odd'", "NULL|NULL|1", []Remark{{"moment", 1, 1, `"3 0" is no time`}, {"age", 1, 2, `"3 0" is no time`}}},
		{"select cidr_contains(version, '10.1.1.1') from packages where name = 'odd'", "NULL", []Remark{{"cidr_contains", 1, 1, `"3 0" is no prefix`}}},
		{"select vercmp('deb', '1', '2')", "-1", nil},
	} {
		a, err := f.engine.Run(t.Context(), Request{SQL: c.sql})
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		for i := range a.Remarks {
			if i < len(c.remarks) && strings.Contains(a.Remarks[i].Example, c.remarks[i].Example) {
				a.Remarks[i].Example = c.remarks[i].Example
			}
		}
		if d := cmp.Diff(c.remarks, a.Remarks); d != "" || f.ask(Request{SQL: c.sql}) != c.want {
			t.Errorf("%s: %s, want %s; remarks (-want +got):\n%s", c.sql, f.ask(Request{SQL: c.sql}), c.want, d)
		}
	}
	for sql, want := range map[string]string{
		"select vercmp('debian', version, '1') from packages": `not a valid query: vercmp: versions of "debian" have no order here (it is known of: dpkg, pip, npm, apk`,
		"select VerCmp ( 'it''s', '1', '1')":                  `versions of "it's" have no order`,
		"select moment('whenever')":                           `not a valid query: moment: "whenever" is no time (want`,
		"select cidr_contains('here', '10.1.1.1')":            `"here" is no prefix`,
		"select name from users('whenever')":                  `not a valid query: "whenever" is no time`,
	} {
		if _, err := f.engine.Run(t.Context(), Request{SQL: sql}); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "not a valid") > 1 {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
}
