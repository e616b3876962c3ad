// Package query answers read-only SQL over everything the collector keeps: the
// dialect of SQLite, in which each section of facts, the hosts, the changes and what
// else is registered are virtual tables.
//
// It hides SQLite. Nothing is copied: a table reads the store while the query runs, so
// that an answer is one consistent state, and a question about a package by name
// reads that package alone. Every table of facts takes a moment, for the whole query
// (Request.AsOf) or for one table: packages('2026-11-20').
//
// Queries come from people and programs that may read everything, and are still not
// trusted with the collector: only SELECT is compiled, and time, rows and memory have
// limits. A query holds one of a few connections and one read transaction of the
// store; nothing outlives it. Which tables there are is listed in docs/data-model.md.
package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

const (
	// MaxTime bounds the work for one query, MaxWait the time before it in which other
	// queries leave no room. Both together must be less than what a request of the API
	// has: else the caller gets the end of the request in place of the reason.
	MaxTime = 20 * time.Second
	MaxWait = 3 * time.Second
)

// Limits of one query. Zero fields take the defaults.
type Limits struct {
	Time    time.Duration // default MaxTime, without the time of waiting
	Rows    int           // of the answer; default 100,000
	Scanned int64         // rows that tables may give to the query; default 50 million
	Cells   int           // bytes of all values of the answer; default 64 MiB
}

// within fills in what is not said, and keeps time and rows within def.
func (l Limits) within(def Limits) Limits {
	if l.Time <= 0 || l.Time > def.Time {
		l.Time = def.Time
	}
	if l.Rows <= 0 || l.Rows > def.Rows {
		l.Rows = def.Rows
	}
	if l.Scanned <= 0 {
		l.Scanned = def.Scanned
	}
	if l.Cells <= 0 {
		l.Cells = def.Cells
	}
	return l
}

// maxSQL bounds the text of a query, in bytes.
const maxSQL = 64 << 10

// Errors that a caller tells apart; their texts say what to do.
var (
	// ErrQuery: the text is not a query that can be run.
	ErrQuery = errors.New("not a valid query")
	// ErrLimit: the query was stopped because it went over a limit.
	ErrLimit = errors.New("query stopped")
	// ErrBusy: too many queries run.
	ErrBusy = errors.New("busy")
	// ErrShare: too many queries of this caller run or wait.
	ErrShare = errors.New("busy")
)

// Request is one question.
type Request struct {
	SQL     string
	Caller  string    // whose share of the connections it takes from
	AsOf    time.Time // of all tables that name no moment; zero: now
	Explain bool      // how it would be answered, instead of the answer
	Limits  Limits
}

// Column of an answer.
type Column struct {
	Name string
	Type string // TEXT, INTEGER or REAL where it is a column of a table, else ""
}

// Answer is what a query gave. Values are nil, int64, float64 or string; a number that
// is beyond all others is the text Infinity or -Infinity, as JSON has no number for it.
type Answer struct {
	Columns []Column
	Rows    [][]any
	Scanned int64 // rows that were looked at
	Elapsed time.Duration
	// Unknown says which sections that were read are not known everywhere.
	Unknown []Unknown
	// Remarks are about values that functions could not read.
	Remarks []Remark
}

// Config of an Engine.
type Config struct {
	Store *store.Store
	// Tables are those of other packages, beside the ones made here.
	Tables []Table
	// Connections is how many queries may run at once; default 4.
	Connections int
	// Limits are those of queries that name none, and the most that one may have.
	Limits Limits
	// Wait bounds how long a query waits while so many others run; default MaxWait.
	Wait time.Duration
	Now  func() time.Time // default time.Now
}

// Engine runs queries. Its methods may be called from any goroutine.
type Engine struct {
	cfg    Config
	tables []Table
	shares *shares
	slots  chan *slot    // that are free
	made   chan struct{} // room for the slots that are still to be made
}

// New returns an engine; it opens its connections when they are needed first.
func New(c Config) (*Engine, error) {
	if c.Connections <= 0 {
		c.Connections = 4
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait <= 0 {
		c.Wait = MaxWait
	}
	c.Limits = c.Limits.within(Limits{MaxTime, 100_000, 50_000_000, 64 << 20})
	e := &Engine{cfg: c, shares: newShares(c.Connections), slots: make(chan *slot, c.Connections), made: make(chan struct{}, c.Connections)}
	for _, s := range facts.Sections() {
		e.tables = append(e.tables, sectionTable(s))
	}
	e.tables = append(e.tables, hostsTable(), sectionStatusTable(), softwareTable(), changesTable())
	e.tables = append(e.tables, c.Tables...)
	slices.SortFunc(e.tables, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	for i, t := range e.tables {
		if i > 0 && e.tables[i-1].Name == t.Name {
			return nil, fmt.Errorf("two tables are called %q", t.Name)
		}
	}
	return e, nil
}

// Tables returns the schema, sorted by name.
func (e *Engine) Tables() []Table { return slices.Clone(e.tables) }

// Close waits for the queries that run and closes the connections. No query may be
// started after it.
func (e *Engine) Close() error {
	var err error
	for range cap(e.made) {
		select {
		case s := <-e.slots:
			err = errors.Join(err, s.close())
		case e.made <- struct{}{}: // never made
		}
	}
	return err
}

// Run answers a query. An error wraps ErrQuery, ErrLimit, ErrBusy or ErrShare when it is the
// caller's, store.ErrHistory when a moment lies too far back.
func (e *Engine) Run(ctx context.Context, r Request) (*Answer, error) {
	if len(r.SQL) > maxSQL {
		return nil, fmt.Errorf("%w: its text has %d bytes, limit %d", ErrQuery, len(r.SQL), maxSQL)
	}
	if err := oneStatement(r.SQL); err != nil {
		return nil, err
	}
	r.Limits = r.Limits.within(e.cfg.Limits)
	if err := e.shares.take(ctx, r.Caller, e.cfg.Wait); err != nil {
		return nil, err
	}
	defer e.shares.give(r.Caller)
	s, err := e.slot(ctx)
	if err != nil {
		return nil, err
	}
	whole := false
	defer func() {
		if whole {
			e.slots <- s
			return
		}
		<-e.made // a panic left it in the middle of a query: even closing it may wait for ever
	}()
	began := e.cfg.Now()
	running, cancel := context.WithTimeout(ctx, r.Limits.Time)
	defer cancel()
	var answer *Answer
	var scanned int64
	err = e.cfg.Store.View(func(tx *store.Tx) error {
		s.session = newSession(running, tx, r, began)
		defer func() { scanned, s.session = s.session.scanned, nil }()
		answer, err = s.run(running, r)
		if err == nil && !r.Explain {
			answer.Remarks = s.session.remarks()
			answer.Unknown, err = s.session.unknown()
		}
		return s.session.explain(err)
	})
	whole = true
	switch {
	case err == nil:
		answer.Elapsed = e.cfg.Now().Sub(began)
		return answer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case running.Err() != nil:
		advice := ""
		if scanned > 0 {
			advice = "; ask for fewer hosts, or by name"
		}
		return nil, fmt.Errorf("%w: it took longer than %s%s", ErrLimit, r.Limits.Time, advice)
	}
	return nil, err
}

// slot takes a connection, or makes one while there are fewer than allowed: who has a
// share has room for it, at the latest when the one before has put its connection back.
func (e *Engine) slot(ctx context.Context) (*slot, error) {
	select {
	case s := <-e.slots:
		return s, nil
	default:
	}
	select {
	case s := <-e.slots:
		return s, nil
	case e.made <- struct{}{}:
		// Not on the time of the query: the connection is for the next ones, too.
		s, err := newSlot(context.WithoutCancel(ctx), e.tables)
		if err != nil {
			<-e.made
		}
		return s, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
