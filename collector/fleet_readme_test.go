package collector

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"atalaya/collector/query"
	"atalaya/collector/store"
)

// question is one that the README shows, with what it says of it.
type question struct{ what, sql string }

// day is a date in a query, which is some day of the past for readers.
var day = regexp.MustCompile(`'20[0-9]{2}-[0-9]{2}-[0-9]{2}'`)

// readmeQuestions reads the questions under "Ask the fleet". A date in them becomes the
// one of five days ago.
func readmeQuestions(t *testing.T) []question {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Ask the fleet\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var list []question
	what := ""
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			what = comment
			continue
		}
		if sql, ok := strings.CutPrefix(line, `atalaya query "`); ok {
			sql = strings.ReplaceAll(strings.TrimSuffix(sql, `"`), `\"`, `"`) // as a shell reads it
			sql = day.ReplaceAllString(sql, time.Now().AddDate(0, 0, -5).Format("'2006-01-02'"))
			list = append(list, question{what, sql})
		}
	}
	if len(list) < 10 {
		t.Fatalf("the README asks %d questions", len(list))
	}
	return list
}

// TestTheQuestionsOfTheReadmeHaveAnswers: each gives rows in a fleet where it should.
func TestTheQuestionsOfTheReadmeHaveAnswers(t *testing.T) {
	s, err := store.Open(store.Config{Path: filepath.Join(t.TempDir(), store.FileName), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	const hosts = 120 // one in a hundred has no owner
	f := newFigureFleet(t, s, hosts)
	f.inventories(hosts)
	f.changes(hosts)
	f.assets(hosts)
	e, err := query.New(query.Config{Store: s, Tables: new(collector).tables()})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range readmeQuestions(t) {
		a, err := e.Run(t.Context(), query.Request{SQL: q.sql})
		if err != nil || len(a.Rows) == 0 {
			t.Errorf("%s: %v, no rows\n%s", q.what, err, q.sql)
			continue
		}
		t.Logf("%s: %d rows, %d looked at, %s; %v", q.what, len(a.Rows), a.Scanned, a.Elapsed.Round(time.Microsecond), a.Rows[0])
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// readme measures the questions of the README.
func (r *running) readme() {
	for _, q := range readmeQuestions(r.f.t) {
		what := q.what
		if len(what) > 44 {
			what = what[:44] + "..."
		}
		if *fleetDays < 15 && strings.Contains(q.sql, "-10d") {
			continue
		}
		r.ask(what, "", 20, r.sql(time.Time{}, "%s", q.sql))
	}
}
