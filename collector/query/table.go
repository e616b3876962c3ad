package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite/vtab"

	"atalaya/collector/api/v1"
	"atalaya/collector/store"
)

// Table is a virtual table.
type Table struct {
	Name    string
	Doc     string // one line for people
	Columns []TableColumn
	// Past: the table can tell of moments in the past; it has the argument as_of.
	Past bool
	// Personal marks tables that may hold personal data.
	Personal bool
	// Scan gives the rows that a query may need. A row has a value for each column, nil,
	// int64, float64, string or bool; columns that Wants does not name may be nil. It may
	// give more rows than Filter names: the query looks again. The row may be reused.
	Scan func(Scan) iter.Seq2[[]any, error]
	// One gives the only row that there may be, nil for none; false: Scan has to tell. Joins
	// come to it for each row of another table, where beginning a Scan would cost most.
	One func(Scan) (row []any, known bool, err error)
	// Rows is about how many there are in a fleet of some thousand hosts; zero: a
	// million. It decides in which order tables are joined.
	Rows int64
}

// TableColumn is a column of a table.
type TableColumn struct {
	Name string
	Type string // TEXT, INTEGER or REAL
	Doc  string
	// Key: rows can be found by the value of this column, without looking at all.
	Key bool
	// Range: rows can be found by bounds of this column.
	Range bool
}

// Scan is what a query wants of a table.
type Scan struct {
	session *session
	// AsOf is the moment; zero: now.
	AsOf time.Time
	// Filter has the values that key columns must be equal to, by column; Above and
	// Below have bounds of range columns, the bounds included.
	Filter, Above, Below map[int]string
	wants                uint64
	conditions           []condition
}

// Wants reports whether the query reads a column.
func (s *Scan) Wants(column int) bool { return s.wants&(1<<min(column, 63)) != 0 }

// Tx is the transaction of the query: the one state that all its tables show.
func (s *Scan) Tx() *store.Tx { return s.session.tx }

// State returns the fleet at the moment of the scan.
func (s *Scan) State() (*store.State, error) { return s.session.state(s.AsOf) }

// maxMade is how many things tables keep: of the moments of one table, mostly.
const maxMade = 4

// Once returns what make makes for a key, which is kept for the scans of the query that follow: a
// join asks a table again for each row of another.
func Once[K comparable, V any](s *Scan, key K, make func() (V, error)) (v V, err error) {
	if v, ok := s.session.made[key].(V); ok {
		return v, nil
	}
	if v, err = make(); err == nil {
		if len(s.session.made) >= maxMade {
			clear(s.session.made)
		}
		s.session.made[key] = v
	}
	return v, err
}

// Context ends with the query.
func (s *Scan) Context() context.Context { return s.session.ctx }

// noPast refuses a moment of a table that shows the present only.
func noPast(table string) error {
	return fmt.Errorf("%w: %s has no past: ask it without a moment (--as-of); `atalaya query --schema` lists the tables with one", ErrQuery, table)
}

// asOfColumn is the hidden argument of tables of the past.
const asOfColumn = "as_of"

// module makes one table in one slot.
type module struct {
	slot  *slot
	table *Table
}

// VolatileArgs implements vtab.VolatileArgsOpter: the texts of Filter, which are the driver's,
// are whole. Others end at their first NUL.
func (*module) VolatileArgs() bool { return true }

// Create implements vtab.Module.
func (m *module) Create(ctx vtab.Context, _ []string) (vtab.Table, error) {
	var cols []string
	for _, c := range m.table.Columns {
		cols = append(cols, quote(c.Name)+" "+c.Type)
	}
	if m.table.Past {
		cols = append(cols, asOfColumn+" TEXT HIDDEN")
	}
	return m, ctx.Declare("CREATE TABLE x(" + strings.Join(cols, ", ") + ")")
}

// Connect implements vtab.Module.
func (m *module) Connect(ctx vtab.Context, args []string) (vtab.Table, error) {
	return m.Create(ctx, args)
}

// Disconnect implements vtab.Table.
func (*module) Disconnect() error { return nil }

// Destroy implements vtab.Table.
func (*module) Destroy() error { return nil }

// Open implements vtab.Table.
func (m *module) Open() (vtab.Cursor, error) { return &cursor{module: m}, nil }

const (
	defaultRows = 1_000_000
	// byKey is how many times fewer rows there are of one key.
	byKey = 1000
	// impossible is the cost of a plan that cannot be carried out.
	impossible = 1e30
)

// whileReading is how much more a plan with conditions costs, so that SQLite takes one
// only where it need not read the table again for each value of them: not for lists
// (column in (...)), which it gives to tables one value at a time, nor for joins.
const whileReading = 1.25

// BestIndex implements vtab.Table: it takes the equalities with key columns and with
// as_of, the bounds of range columns, and comparisons of others as conditions. The plan
// is the columns wanted, in hex, and the use and column of each argument; words for
// people follow.
func (m *module) BestIndex(info *vtab.IndexInfo) error {
	if s := m.slot.session; s != nil && !m.table.Past && !s.asOf.IsZero() {
		return s.fail(noPast(m.table.Name))
	}
	rows := float64(m.table.Rows)
	if rows == 0 {
		rows = defaultRows
	}
	plan := []string{strconv.FormatUint(info.ColUsed, 16)}
	var names, tested []string
	keyed := slices.ContainsFunc(info.Constraints, func(c vtab.Constraint) bool {
		use, name := m.use(&c)
		return c.Usable && use == useEqual && name != asOfColumn
	})
	for i := range info.Constraints {
		c := &info.Constraints[i]
		use, name := m.use(c)
		switch {
		case use == 0 || !isCondition(use) && slices.Contains(plan, argument(use, c.Column)):
			continue
		case use == conditions[vtab.OpEQ] && keyed && m.slot.session.lists:
			continue // it may stand for a list, and the key too: the table would be read for each pair
		case !c.Usable && name == asOfColumn: // without its moment the table would answer of another one
			rows = impossible
			continue
		case !c.Usable:
			continue
		}
		c.ArgIndex, c.Omit = len(plan)-1, name == asOfColumn
		plan = append(plan, argument(use, c.Column))
		if isCondition(use) {
			tested = append(tested, name)
			continue
		}
		names = append(names, name)
		switch {
		case use != useEqual:
			rows = max(rows/2, 1)
		case name != asOfColumn:
			rows = max(rows/byKey, 1)
		}
	}
	info.EstimatedCost, info.EstimatedRows = rows*2, int64(min(rows, 1e12))
	words := "all rows"
	if len(names) > 0 {
		words = "by " + strings.Join(names, ", ")
	}
	if len(tested) > 0 {
		info.EstimatedCost *= whileReading
		words += ", testing " + strings.Join(tested, ", ")
	}
	info.IdxStr = strings.Join(append(plan, words), " ")
	return nil
}

// What a plan makes of an argument.
const (
	useEqual = '='
	useAbove = '>'
	useBelow = '<'
)

func argument(use byte, column int) string { return string(use) + strconv.Itoa(column) }

// use says what a constraint is good for, 0 for nothing, and the name of its column.
func (m *module) use(c *vtab.Constraint) (use byte, name string) {
	if m.table.Past && c.Column == len(m.table.Columns) && c.Op == vtab.OpEQ {
		return useEqual, asOfColumn
	}
	if c.Column < 0 || c.Column >= len(m.table.Columns) {
		return 0, ""
	}
	column := m.table.Columns[c.Column]
	switch c.Op {
	case vtab.OpEQ:
		if column.Key && !m.slot.session.collates {
			return useEqual, column.Name
		}
	case vtab.OpGT, vtab.OpGE:
		if column.Range {
			return useAbove, column.Name
		}
	case vtab.OpLT, vtab.OpLE:
		if column.Range {
			return useBelow, column.Name
		}
	}
	if m.slot.session.collates {
		return 0, ""
	}
	return conditions[c.Op], column.Name
}

// planned is an argument of a plan.
type planned struct {
	use    byte
	column int
}

// parsePlan is the inverse of what BestIndex writes, without its words for people.
func parsePlan(plan string) (wants uint64, args []planned, err error) {
	first, rest, _ := strings.Cut(plan, " ")
	if wants, err = strconv.ParseUint(first, 16, 64); err != nil {
		return 0, nil, err
	}
	for field := range strings.FieldsSeq(rest) {
		n, err := strconv.Atoi(field[1:])
		if err != nil || !isCondition(field[0]) && strings.IndexByte("=<>", field[0]) < 0 {
			break // the words begin
		}
		args = append(args, planned{field[0], n})
	}
	return wants, args, nil
}

// cursor pulls rows out of a table's Scan.
type cursor struct {
	module *module
	plan   string // wants and args are parsed from it
	wants  uint64
	args   []planned
	next   func() ([]any, error, bool)
	stop   func()
	row    []any
	asOf   any // as it was given
	n      int64
	done   bool
}

// Filter implements vtab.Cursor.
func (c *cursor) Filter(_ int, plan string, vals []vtab.Value) error {
	c.finish()
	session := c.module.slot.session
	if session == nil {
		return errors.New("no query runs")
	}
	if c.plan != plan {
		wants, args, err := parsePlan(plan)
		if err != nil {
			return err
		}
		c.plan, c.wants, c.args = plan, wants, args
	}
	s, possible, err := c.scan(session, vals)
	if err != nil || !possible {
		c.done = true
		return err
	}
	c.done, c.n = false, 0
	if one := c.module.table.One; one != nil {
		row, known, err := one(s)
		if err == nil && row != nil {
			err = session.count()
		}
		if err != nil {
			return session.fail(err)
		}
		if known {
			c.row, c.done = row, row == nil || !s.fits(row, 0)
			return nil
		}
	}
	c.next, c.stop = iter.Pull2(s.only(c.module.table.Scan(s)))
	return c.Next()
}

// scan makes of the arguments of a plan what the table is asked; false: there is no row.
func (c *cursor) scan(session *session, vals []vtab.Value) (s Scan, possible bool, err error) {
	s = Scan{session: session, AsOf: session.asOf, wants: c.wants}
	for i, arg := range c.args {
		if vals[i] == nil && arg.column == len(c.module.table.Columns) {
			return s, false, session.fail(fmt.Errorf("%w: the moment of %s is NULL, which is no time (want 2026-11-20, 2026-11-20T08:00:00Z or -7d)", ErrQuery, c.module.table.Name))
		}
		if vals[i] == nil { // nothing is equal to NULL, or beyond it
			return s, false, nil
		}
		text, isText := vals[i].(string)
		if text = strings.Clone(text); !isText {
			text = fmt.Sprint(vals[i])
		}
		switch {
		case arg.column == len(c.module.table.Columns):
			if s.AsOf, err = v1.ParseState(text, session.now); err != nil {
				return s, false, session.fail(fmt.Errorf("%w: %w", ErrQuery, err))
			}
			if c.asOf = vals[i]; isText {
				c.asOf = text
			}
		case isCondition(arg.use):
			c := condition{arg.column, arg.use, vals[i]}
			if isText {
				c.value = text
			}
			s.conditions = append(s.conditions, c)
		case arg.use == useAbove:
			put(&s.Above, arg.column, text)
		case arg.use == useBelow:
			put(&s.Below, arg.column, text)
		case !isText && c.module.table.Columns[arg.column].Type == "TEXT": // 5 may be equal to '05'
		default:
			put(&s.Filter, arg.column, text)
		}
	}
	return s, true, nil
}

func put(m *map[int]string, column int, text string) {
	if *m == nil {
		*m = map[int]string{}
	}
	(*m)[column] = text
}

// Next implements vtab.Cursor.
func (c *cursor) Next() error {
	if c.next == nil {
		c.done = true
		return nil
	}
	row, err, ok := c.next()
	if err != nil {
		return c.module.slot.session.fail(err)
	}
	c.row, c.done = row, !ok
	c.n++
	return nil
}

// Eof implements vtab.Cursor.
func (c *cursor) Eof() bool { return c.done }

// Column implements vtab.Cursor.
func (c *cursor) Column(i int) (vtab.Value, error) {
	if i >= len(c.row) {
		return c.asOf, nil
	}
	if b, ok := c.row[i].(bool); ok {
		if b {
			return int64(1), nil
		}
		return int64(0), nil
	}
	return c.row[i], nil
}

// Rowid implements vtab.Cursor.
func (c *cursor) Rowid() (int64, error) { return c.n, nil }

// Close implements vtab.Cursor.
func (c *cursor) Close() error {
	c.finish()
	return nil
}

// finish ends a scan; what it holds of the store is let go of before the transaction ends.
func (c *cursor) finish() {
	if c.stop != nil {
		c.stop()
		c.stop, c.next = nil, nil
	}
}
