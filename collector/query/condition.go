package query

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"

	"modernc.org/sqlite/vtab"
)

// condition is a comparison of a column with a value that is known before rows are read.
// Rows that do not meet it are not handed to SQLite, which looks at the others again: a
// condition may let too many through and never too few. SQLite tells tables neither the
// collation of a comparison nor what it makes of a text that stands for a number
// (https://sqlite.org/datatype3.html#comparison_expressions), so that these are let through.
type condition struct {
	column int
	use    byte
	value  any // int64, float64 or string; others let all through
}

// conditions are what a plan makes of comparisons with columns that are no keys.
var conditions = map[vtab.ConstraintOp]byte{vtab.OpEQ: 'e', vtab.OpLT: 'l', vtab.OpLE: 'L', vtab.OpGT: 'g', vtab.OpGE: 'G'}

// isCondition reports whether a plan uses an argument as a condition.
func isCondition(use byte) bool { return strings.IndexByte("elLgG", use) >= 0 }

// meets reports whether a value of the column may meet the condition.
func (c *condition) meets(v any) bool {
	order, sure := compared(v, c.value)
	switch {
	case v == nil:
		return false // NULL compares with nothing
	case !sure:
		return true
	case order < 0:
		return c.use == 'l' || c.use == 'L'
	case order > 0:
		return c.use == 'g' || c.use == 'G'
	}
	return c.use != 'l' && c.use != 'g'
}

// compared puts a value of a row before or behind that of a condition; false: SQLite may
// see it otherwise.
func compared(v, with any) (order int, sure bool) {
	if b, ok := v.(bool); ok {
		v = int64(0)
		if b {
			v = int64(1)
		}
	}
	switch with := with.(type) {
	case string:
		text, ok := v.(string)
		if !ok {
			return 0, false
		}
		order = strings.Compare(text, with)
		return order, order == 0 || !isNumber(text) && !isNumber(with)
	case int64:
		if n, ok := v.(int64); ok {
			return cmp.Compare(n, with), true
		}
	}
	return 0, false
}

// isNumber reports whether SQLite may take a text for a number.
func isNumber(text string) bool {
	text = strings.Trim(text, " \t\n\v\f\r")
	if text == "" || strings.IndexByte("0123456789.+-", text[0]) < 0 {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// fits reports whether a row may be one that the query asks for; what the columns of
// unknown hold, as bits, is not known yet.
func (s *Scan) fits(row []any, unknown uint64) bool {
	return !slices.ContainsFunc(s.conditions, func(c condition) bool {
		return unknown&(1<<min(c.column, 63)) == 0 && !c.meets(row[c.column])
	})
}

// only counts the rows that a table gives and hands on those that fit.
func (s *Scan) only(rows iter.Seq2[[]any, error]) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for row, err := range rows {
			if err == nil {
				err = s.session.count()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if s.fits(row, 0) && !yield(row, nil) {
				return
			}
		}
	}
}
