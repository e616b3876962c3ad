package query

import (
	"fmt"
	"strings"
)

// oneStatement refuses what is not exactly one statement: SQLite's driver would run
// several one after the other and answer with the rows of the last.
func oneStatement(text string) error {
	if strings.ContainsRune(text, 0) {
		return fmt.Errorf("%w: it holds a NUL character, where SQLite ends a text", ErrQuery)
	}
	switch n := statements(text); n {
	case 0:
		return fmt.Errorf("%w: it is empty; try: select name, os from hosts", ErrQuery)
	case 1:
		return nil
	default:
		return fmt.Errorf("%w: one SELECT only, and these are %d statements", ErrQuery, n)
	}
}

// statements counts the statements of a text that are more than space and comments. It
// knows what may hold a semicolon: https://sqlite.org/lang_keywords.html and
// https://sqlite.org/lang_comment.html
func statements(text string) int {
	count, within := 0, false
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "--"):
			text = after(text[2:], "\n")
			continue
		case strings.HasPrefix(text, "/*"):
			text = after(text[2:], "*/")
			continue
		}
		c := text[0]
		text = text[1:]
		switch c {
		case ' ', '\t', '\n', '\f', '\r':
			continue
		case ';':
			within = false
			continue
		case '\'', '"', '`': // a doubled one within is the end and the beginning of two
			text = after(text, string(c))
		case '[':
			text = after(text, "]")
		}
		if !within {
			within = true
			count++
		}
	}
	return count
}

// after returns what follows the first end in the text, nothing when there is none.
func after(text, end string) string {
	_, rest, _ := strings.Cut(text, end)
	return rest
}
