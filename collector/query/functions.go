package query

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"modernc.org/sqlite"

	"atalaya/collector/api/v1"
	"atalaya/shared/version"
)

// Function describes a function that queries have beside SQLite's own.
type Function struct {
	Usage string
	Doc   string
}

// function is one of them, with its number of arguments.
type function struct {
	name string
	args int
	Function
	call func(s *session, args []string) (driver.Value, error)
}

var functions = []function{
	{"vercmp", 3, Function{"vercmp(scheme, a, b)", "-1, 0 or 1: how the versions compare in a package system; NULL when one is odd; scheme is the column source (NULL for snap, flatpak and others without an order), or one of " + strings.Join(version.Schemes(), ", ")}, vercmp},
	{"moment", 1, Function{"moment(time)", "a time as tables give it, from 2026-11-20, 7d, -7d or +30d; NULL of a column's text that is none"}, momentText},
	{"age", 1, Function{"age(time)", "seconds since a time; negative: it is still to come; NULL of a column's text that is none"}, age},
	{"cidr_contains", 2, Function{"cidr_contains(prefix, address)", "1 when the address lies in the prefix"}, cidrContains},
	{"regexp", 2, Function{"text REGEXP pattern", "1 when the pattern (RE2) matches somewhere in the text"}, matches},
}

// Functions lists what queries have beside SQLite's own functions.
func Functions() []Function {
	var list []Function
	for _, f := range functions {
		list = append(list, f.Function)
	}
	return list
}

func registerFunctions(d *sqlite.Driver, s *slot) {
	for i, f := range functions {
		// Deterministic within a query, whose present does not move: of constants they are
		// called once and not for each row.
		d.MustRegisterDeterministicScalarFunction(f.name, int32(f.args), func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			texts := make([]string, len(args))
			for i, a := range args {
				if a == nil {
					return nil, nil // as of all functions: not known in, not known out
				}
				texts[i] = fmt.Sprint(a)
			}
			v, err := s.session.call(i, texts)
			if err != nil {
				return nil, s.session.fail(fmt.Errorf("%w: %s: %w", ErrQuery, f.name, err))
			}
			return v, nil
		})
	}
}

func vercmp(_ *session, args []string) (driver.Value, error) {
	scheme := version.Scheme(args[0])
	if scheme == "" {
		return nil, oddf("versions of %q have no order here (it is known of: dpkg, pip, npm, %s)", args[0], strings.Join(version.Schemes(), ", "))
	}
	c, err := version.Compare(scheme, args[1], args[2])
	if err != nil {
		return nil, oddValue{err}
	}
	return int64(c), nil
}

func momentText(s *session, args []string) (driver.Value, error) {
	t, _, err := v1.ParseMoment(args[0], s.now)
	if err != nil {
		return nil, oddValue{err}
	}
	return Time(t), nil
}

func age(s *session, args []string) (driver.Value, error) {
	t, _, err := v1.ParseMoment(args[0], s.now)
	if err != nil {
		return nil, oddValue{err}
	}
	return int64(s.now.Sub(t).Seconds()), nil
}

func cidrContains(_ *session, args []string) (driver.Value, error) {
	p, err := netip.ParsePrefix(args[0])
	if err != nil {
		return nil, oddf("%q is no prefix (want 10.0.0.0/8)", args[0])
	}
	a, err := netip.ParseAddr(strings.TrimSpace(args[1]))
	if err != nil {
		return nil, nil // tables hold names, too
	}
	return p.Contains(a.Unmap()), nil
}

// maxPatterns bounds the compiled patterns of one query.
const maxPatterns = 64

func matches(s *session, args []string) (driver.Value, error) {
	re := s.patterns[args[0]]
	if re == nil {
		if len(s.patterns) == maxPatterns {
			return nil, errors.New("too many different patterns")
		}
		var err error
		if re, err = regexp.Compile(args[0]); err != nil {
			return nil, err
		}
		s.patterns[args[0]] = re
	}
	return re.MatchString(args[1]), nil
}
