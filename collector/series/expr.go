package series

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Limits on the text of an expression, which apply before it is parsed: the time to
// parse grows with the square of the nesting, and a parse knows no context, so that
// neither a timeout nor the end of the collector would stop it.
const (
	maxExprLen   = 32 << 10
	maxExprDepth = 200 // of brackets of all kinds
	// maxExprOperators bounds the other way to nest: each operator holds the one before.
	maxExprOperators = 2000
)

// parseExpr parses an expression within the limits. An error is of kind BadData.
func (d *DB) parseExpr(expr string) (parser.Expr, error) {
	if err := checkSize(expr); err != nil {
		return nil, err
	}
	e, err := d.parser.ParseExpr(expr)
	if err != nil {
		return nil, &QueryError{BadData, err}
	}
	return e, nil
}

// parseSelectors parses series selectors, within the limits both each and together.
func (d *DB) parseSelectors(match []string) ([][]*labels.Matcher, error) {
	total := 0
	for _, m := range match {
		if total += len(m); total > maxExprLen {
			return nil, badData("selectors of more than %d bytes together", maxExprLen)
		}
		if err := checkSize(m); err != nil {
			return nil, err
		}
	}
	sets, err := d.parser.ParseMetricSelectors(match)
	if err != nil {
		return nil, &QueryError{BadData, err}
	}
	return sets, nil
}

// LimitParser returns a parser for rule files that keeps the limits on expressions.
func LimitParser() parser.Parser {
	return limitParser{parser.NewParser(parser.Options{})}
}

type limitParser struct{ parser.Parser }

func (p limitParser) ParseExpr(expr string) (parser.Expr, error) {
	if err := checkSize(expr); err != nil {
		return nil, err
	}
	return p.Parser.ParseExpr(expr)
}

// check refuses an expression before the engine is asked: one beyond the limits, and while
// there is no engine any that is wrong, as only a right one is worth asking again.
func (d *DB) check(expr string) error {
	if d.Loading() != nil {
		return d.CheckExpr(expr)
	}
	return checkSize(expr)
}

// checkSize refuses an expression that would take long to parse.
func checkSize(expr string) error {
	if len(expr) > maxExprLen {
		return badData("expression of %d bytes, at most %d", len(expr), maxExprLen)
	}
	depth, operators := shape(expr)
	if depth > maxExprDepth {
		return badData("expression nests brackets deeper than %d", maxExprDepth)
	}
	if operators > maxExprOperators {
		return badData("expression of %d operators, at most %d", operators, maxExprOperators)
	}
	return nil
}

// shape returns how deep brackets nest and the number of operator signs, outside of
// strings and comments. The text need not be well formed.
func shape(expr string) (deepest, operators int) {
	depth := 0
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; c {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth--
		case '+', '-', '*', '/', '%', '^', '=', '!', '<', '>':
			operators++
		case '#':
			for i < len(expr) && expr[i] != '\n' {
				i++
			}
		case '"', '\'', '`':
			for i++; i < len(expr) && expr[i] != c; i++ {
				if expr[i] == '\\' && c != '`' {
					i++
				}
			}
		}
	}
	return deepest, operators
}
