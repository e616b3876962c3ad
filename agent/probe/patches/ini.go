package patches

import (
	"errors"
	"fmt"
	"strings"

	"atalaya/agent/probe"
)

// section is one section of an ini file as yum, dnf, zypper and pacman write them. Keys
// are in lower case; a key that stands several times has several values.
type section struct {
	name   string
	values map[string][]string
}

func (s *section) value(key string) string {
	if v := s.values[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// words are all values of a key, which blanks or commas separate.
func (s *section) words(key string) []string {
	return strings.FieldsFunc(strings.Join(s.values[key], " "), func(r rune) bool { return strings.ContainsRune(" ,\t\n", r) })
}

// add takes the values of a section that is read after this one.
func (s *section) add(later *section) {
	for key, values := range later.values {
		s.values[key] = append(s.values[key], values...)
	}
}

// on reads a switch.
func (s *section) on(key string, unset bool) bool {
	switch yesNo([]string{s.value(key)}) {
	case "yes":
		return true
	case "no":
		return false
	}
	return unset
}

// parseINI reads [sections] of "key = value" lines. A line that begins with a blank goes
// on with the value before. Keys without a value are kept with an empty one.
func parseINI(text string) ([]*section, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("damaged: it has NUL bytes")
	}
	var out []*section
	var problems probe.Problems
	last := ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed[0] == '[':
			name, _, ok := strings.Cut(trimmed[1:], "]")
			if !ok {
				problems.Add(fmt.Errorf("line %d: section is not closed", number))
				continue
			}
			out, last = append(out, &section{name: name, values: make(map[string][]string)}), ""
		case len(out) == 0:
			problems.Add(fmt.Errorf("line %d stands before the first section", number))
		case line[0] == ' ' || line[0] == '\t':
			if values := out[len(out)-1].values[last]; len(values) > 0 {
				values[len(values)-1] += " " + trimmed
			}
		default:
			key, value, _ := strings.Cut(trimmed, "=")
			last = strings.ToLower(strings.TrimSpace(key))
			s := out[len(out)-1]
			s.values[last] = append(s.values[last], strings.TrimSpace(value))
		}
	}
	return out, problems.Err()
}
