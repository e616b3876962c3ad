package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// Report takes what a probe found. It belongs to one run of one probe. Once that run
// was abandoned it takes nothing any more.
type Report struct {
	mu       sync.Mutex // guards all that follows
	closed   bool
	dict     *metric.Dictionary
	samples  []metric.Sample
	rows     map[facts.ID][]facts.Row
	problems map[facts.ID]*Problems
	remarks  map[facts.ID]string
	// hides tell which rows the problems of a section may hide, nil in it: any.
	hides    map[facts.ID][]func(facts.Row) bool
	glimpsed map[facts.ID]bool
	refused  []refusal // what the run was refused
	// revisions are of the sections whose rows came through Whole.
	revisions map[facts.ID]uint64
	maxItems  int
	capped    map[facts.ID]int
	dropped   int
	panicked  error  // the last panic of a section
	given     []bool // by series, where the probe is Foreign: it has a sample in this pass
	families  Families
}

// NewReport returns an empty report that numbers its series in dict and takes at most
// maxItems samples, or rows of a section.
func NewReport(dict *metric.Dictionary, maxItems int) *Report {
	return &Report{
		dict:      dict,
		rows:      make(map[facts.ID][]facts.Row),
		problems:  make(map[facts.ID]*Problems),
		remarks:   make(map[facts.ID]string),
		hides:     make(map[facts.ID][]func(facts.Row) bool),
		glimpsed:  make(map[facts.ID]bool),
		revisions: make(map[facts.ID]uint64),
		capped:    make(map[facts.ID]int),
		maxItems:  maxItems,
	}
}

// Sample adds one reading of a metric: desc with the values of its labels.
func (r *Report) Sample(desc *metric.Desc, value float64, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.maxItems > 0 && len(r.samples) >= r.maxItems {
		r.dropped++
		return
	}
	if id, ok := r.dict.ID(desc, labels...); ok {
		if r.given != nil {
			r.give(id)
		}
		r.samples = append(r.samples, metric.Sample{Series: id, Value: value})
	}
}

func (r *Report) give(id uint32) {
	for int(id) >= len(r.given) {
		r.given = append(r.given, false)
	}
	r.given[id] = true
}

// Given reports whether a series has a sample in this pass already, of this probe or of one
// before it. Only a probe whose Info says Foreign may ask.
func (r *Report) Given(desc *metric.Desc, labels ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, ok := r.dict.ID(desc, labels...)
	return ok && int(id) < len(r.given) && r.given[id]
}

// Reset empties the report for another run, keeping the room it has taken for samples.
func (r *Report) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples, r.dropped, r.panicked = r.samples[:0], 0, nil
	clear(r.rows)
	clear(r.problems)
	clear(r.remarks)
	clear(r.hides)
	clear(r.glimpsed)
	r.refused = nil
	clear(r.capped)
	clear(r.revisions)
	clear(r.families)
}

// close ends a run that was abandoned. Its samples are values and stay; its rows may
// still be in the hands of the probe, and go.
func (r *Report) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	clear(r.rows)
}

// items counts samples and rows.
func (r *Report) items() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.samples)
	for _, rows := range r.rows {
		n += len(rows)
	}
	return n
}

// summary is the status of the run as a whole, with its reason.
func (r *Report) summary(err error) (facts.Status, string) {
	items := r.items()
	var all Problems
	all.Add(err, r.told(items))
	if err = all.Err(); err == nil {
		return status(nil, items), ""
	}
	return status(err, items), reason(err)
}

// told joins the problems of all sections.
func (r *Report) told(items int) error {
	var all Problems
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(r.problems)) {
		// That a machine has no such thing (no sudo) is no problem of a probe of several sections.
		if err := r.problemLocked(id); items == 0 || len(r.rows[id]) > 0 || !errors.Is(err, errors.ErrUnsupported) {
			all.Add(err)
		}
	}
	if r.dropped > 0 {
		all.Add(fmt.Errorf("%d samples left out: limit is %d", r.dropped, r.maxItems))
	}
	return all.Err()
}

// problemLocked is what is wrong with a section, nil if nothing is.
func (r *Report) problemLocked(section facts.ID) error {
	if p := r.problems[section]; p != nil {
		return p.Err()
	}
	return nil
}

// Samples returns the samples taken so far, in the order in which they were taken.
// The caller must not keep them beyond the report.
func (r *Report) Samples() []metric.Sample { return r.samples }

// Add adds rows to a section. Rows beyond the probe's MaxItems are left out and the
// section becomes partial.
func (r *Report) Add(section facts.ID, rows ...facts.Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	have := len(r.rows[section])
	if r.maxItems > 0 && have+len(rows) > r.maxItems {
		keep := max(r.maxItems-have, 0)
		r.capped[section] += len(rows) - keep
		rows = rows[:keep]
	}
	r.rows[section] = append(r.rows[section], rows...)
	delete(r.revisions, section)
}

// Rows is how many rows a section has so far.
func (r *Report) Rows(section facts.ID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows[section])
}

// Whole gives all rows of a section at once: sorted by key, distinct, and never changed
// from now on, by nobody. revision names this state of them, see facts.Reading: a probe
// that has found nothing changed gives the same rows with the same revision, and none
// of them is encoded again.
func (r *Report) Whole(section facts.ID, revision uint64, rows []facts.Row) {
	if r.maxItems > 0 && len(rows) > r.maxItems {
		r.Add(section, rows...)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.rows[section], r.revisions[section] = rows[:len(rows):len(rows)], revision // an Add copies them
}

// Problem marks one section as not read completely; several problems are joined.
func (r *Report) Problem(section facts.ID, err error) { r.Hidden(section, err, nil) }

// Hidden is Problem where only a part of a section could not be read: hides reports
// whether a row may lie in that part. Rows that no problem hides are complete: those
// that are missing are gone, although the section is partial.
func (r *Report) Hidden(section facts.ID, err error, hides func(facts.Row) bool) {
	err = said(err) // before the lock, for which whoever gives this run up would wait
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || err == nil {
		return
	}
	if r.problems[section] == nil {
		r.problems[section] = new(Problems)
	}
	r.problems[section].Add(err)
	switch n := len(r.hides[section]); {
	case n < maxHides:
		r.hides[section] = append(r.hides[section], hides)
	case n == maxHides:
		r.hides[section] = append(r.hides[section], nil)
	}
}

// maxHides bounds the parts of a section that could not be read, each of which is asked of
// each row: with more any row may lie in one.
const maxHides = 1000

// Glimpsed is Hidden where no more than a few rows could not be looked at: without any
// row the section is partial all the same, for all others were looked at.
func (r *Report) Glimpsed(section facts.ID, err error, hides func(facts.Row) bool) {
	r.Hidden(section, err, hides)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.glimpsed[section] = true
}

// Veiled is Remark where a column is not known for want of a right that the installed agent
// has: the section is partial, but no row is missing.
func (r *Report) Veiled(section facts.ID, err error) {
	r.Glimpsed(section, err, func(facts.Row) bool { return false })
}

// goneLocked returns facts.Reading.Gone of a section with problems.
func (r *Report) goneLocked(section facts.ID) func(facts.Row) bool {
	hides := r.hides[section]
	if len(hides) == 0 || r.capped[section] > 0 || slices.ContainsFunc(hides, func(h func(facts.Row) bool) bool { return h == nil }) {
		return nil
	}
	return func(row facts.Row) bool {
		return !slices.ContainsFunc(hides, func(h func(facts.Row) bool) bool { return h(row) })
	}
}

// Remark says what is not known of a section whose rows are complete, for instance in
// which column and why. Unlike a problem it leaves the status at ok: rows that are
// missing are gone. The text has no counts, which would be a change each time.
func (r *Report) Remark(section facts.ID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.remarks[section] = text
	}
}

// readings closes the report: one reading for each of the probe's sections.
func (r *Report) readings(sections []facts.ID, at facts.Time, err error) []facts.Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]facts.Reading, 0, len(sections))
	untold := r.untoldLocked()
	for _, id := range sections {
		problem := r.problemLocked(id)
		if problem == nil {
			problem = err
		}
		// With one section it is that one which lacks what was refused; of several, those that
		// would look as if there were nothing; all of them, if it is a pipe that somebody made.
		if problem == nil {
			problem = r.pipeLocked()
		}
		if problem == nil && (len(sections) == 1 || len(r.rows[id]) == 0) && r.remarks[id] == "" {
			problem = untold
		}
		if lacked := r.lackedLocked(id); lacked != nil {
			problem = errors.Join(problem, lacked)
			r.hides[id] = append(r.hides[id], nil)
		}
		if n := r.capped[id]; n > 0 {
			problem = errors.Join(problem, fmt.Errorf("%d rows left out: limit is %d", n, r.maxItems))
		}
		rows, revision := r.rows[id], r.revisions[id]
		if revision == 0 {
			rows = facts.Sort(rows)
		}
		rd := facts.Reading{Section: id, At: at, Rows: rows, Status: status(problem, len(rows)), Reason: r.remarks[id], Revision: revision}
		if problem != nil {
			rd.Reason = reason(problem)
			if remark := r.remarks[id]; remark != "" {
				rd.Reason = reason(errors.Join(problem, errors.New(remark)))
			}
		}
		if r.glimpsed[id] && (rd.Status == facts.StatusDenied || rd.Status == facts.StatusFailed) {
			rd.Status = facts.StatusPartial
		}
		if rd.Status == facts.StatusPartial {
			rd.Gone = r.goneLocked(id)
		}
		out = append(out, rd)
	}
	return out
}

func status(err error, rows int) facts.Status {
	switch {
	case err == nil && rows == 0:
		return facts.StatusEmpty
	case err == nil:
		return facts.StatusOK
	case rows > 0:
		return facts.StatusPartial
	case wholly(err, errors.ErrUnsupported):
		return facts.StatusUnsupported
	case errors.Is(err, fs.ErrPermission):
		return facts.StatusDenied
	}
	return facts.StatusFailed
}

// wholly reports whether each of the errors that are joined is one of the targets.
func wholly(err error, targets ...error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !wholly(e, targets...) })
		}
	}
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// maxReason bounds the reason of a status on the wire, in bytes.
const maxReason = 400

// reason is an error in one line, in which nothing stands twice. What has no room is counted.
func reason(err error) string {
	var parts []string
	length, more := 0, 0
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		switch n := moreIn(line); {
		case n > 0:
			more += n
			continue
		case length > maxReason:
			more++
			continue
		}
		// The status says that it is unsupported.
		line = strings.TrimSuffix(line, ": "+errors.ErrUnsupported.Error())
		if line == errors.ErrUnsupported.Error() {
			line = "this system has no such thing"
		}
		if name, rest, _ := strings.Cut(line, ": "); strings.HasPrefix(name, "/") && strings.Contains(rest, " "+name+": ") {
			line = rest // "/a: open /a: permission denied"
		}
		if line = harmless(line); line != "" && !slices.Contains(parts, line) {
			parts = append(parts, line)
			length += len(line)
		}
	}
	return within(parts, more)
}

// within joins parts, as many as a reason has room for, and says how many more there are.
func within(parts []string, more int) string {
	for {
		s, tail := strings.Join(parts, "; "), ""
		if more > 0 {
			tail = fmt.Sprintf("; and %d more", more)
		}
		room := maxReason - len(tail)
		if len(s) <= room {
			return s + tail
		}
		if len(parts) <= 1 {
			return strings.ToValidUTF8(s[:room-3], "") + "..." + tail
		}
		parts, more = parts[:len(parts)-1], more+1
	}
}

// harmless replaces what has no place in a line of text, and of bytes that an error has
// quoted leaves one of each run: a page of "\x00\x00\x00" says nothing more than the first.
func harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	var b strings.Builder
	for last := ""; s != ""; {
		n := 1
		if strings.HasPrefix(s, `\x`) && len(s) >= 4 {
			n = 4
		}
		if part := s[:n]; n == 1 || part != last {
			b.WriteString(part)
			last = part
		}
		s = s[n:]
	}
	return b.String()
}
