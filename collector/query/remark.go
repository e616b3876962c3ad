package query

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Remark says that a function was given values that it cannot read. Its result was NULL
// for them: one odd value of one host must not stop a question to the fleet.
type Remark struct {
	Function string
	Null     int64 // how many calls
	Of       int64 // calls whose values were there
	Example  string
}

// oddValue is an error about a value that a column may have.
type oddValue struct{ err error }

func (e oddValue) Error() string { return e.err.Error() }

// tally counts the calls of one function in a query.
type tally struct {
	calls, odd int64
	example    string
}

// call calls a function and counts it. A value that it cannot read is an error when the
// query itself has it as its first argument: that is a mistake of who asks.
func (s *session) call(i int, args []string) (driver.Value, error) {
	f := &functions[i]
	t := &s.tallies[i]
	t.calls++
	v, err := f.call(s, args)
	var odd oddValue
	if err == nil || !errors.As(err, &odd) || s.saysItself(f.name, args[0]) {
		return v, err
	}
	if t.odd++; t.odd == 1 {
		t.example = odd.Error()
	}
	return nil, nil
}

// firstArgument finds calls whose first argument is a text of the query itself.
var firstArgument = regexp.MustCompile(`(?i)\b(vercmp|moment|age|cidr_contains)\s*\(\s*'((?:[^']|'')*)'`)

// saysItself reports whether the query's own text gives a function this first argument.
func (s *session) saysItself(function, value string) bool {
	if s.literals == nil {
		s.literals = map[[2]string]bool{}
		for _, m := range firstArgument.FindAllStringSubmatch(s.sql, -1) {
			s.literals[[2]string{strings.ToLower(m[1]), strings.ReplaceAll(m[2], "''", "'")}] = true
		}
	}
	return s.literals[[2]string{function, value}]
}

// remarks lists what functions could not read, by function.
func (s *session) remarks() (out []Remark) {
	for i, t := range s.tallies {
		if t.odd > 0 {
			out = append(out, Remark{functions[i].name, t.odd, t.calls, t.example})
		}
	}
	return out
}

func oddf(format string, args ...any) error { return oddValue{fmt.Errorf(format, args...)} }
