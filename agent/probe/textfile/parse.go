package textfile

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"atalaya/shared/metric"
)

// sample is one line of a file.
type sample struct {
	desc   *metric.Desc
	labels []string // values, in the order of desc.Labels
	value  float64
	line   int // in the file, from 1
}

const (
	maxName   = 160 // bytes of a name; the collector refuses more than 200
	maxValue  = 1000
	maxLabels = 30
)

// parse reads a whole file. Timestamps are refused: a reading is of the moment at
// which it is taken.
func parse(b []byte) ([]sample, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("not UTF-8")
	}
	p := parser{kinds: make(map[string]metric.Kind), descs: make(map[string]*metric.Desc), seen: make(map[string]bool)}
	for line := range strings.Lines(string(b)) {
		p.number++
		if err := p.line(strings.TrimRight(line, "\r\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.number, err)
		}
		if len(p.samples) > maxSamples {
			return nil, fmt.Errorf("more than %d samples", maxSamples)
		}
	}
	return p.samples, nil
}

type parser struct {
	kinds   map[string]metric.Kind // of the families, as # TYPE says
	descs   map[string]*metric.Desc
	seen    map[string]bool // series
	samples []sample
	number  int // of the line
}

func (p *parser) line(line string) error {
	line = strings.Trim(line, " \t")
	if line == "" {
		return nil
	}
	if comment, ok := strings.CutPrefix(line, "#"); ok {
		return p.comment(strings.Fields(comment))
	}
	name := line[:strings.IndexFunc(line+" ", func(r rune) bool { return r == '{' || r == ' ' || r == '\t' })]
	if !validName(name, true) {
		return fmt.Errorf("%.40q is no name of a metric", name)
	}
	rest := strings.TrimLeft(line[len(name):], " \t")
	var labels []metric.Label
	if strings.HasPrefix(rest, "{") {
		var err error
		if labels, rest, err = readLabels(rest[1:]); err != nil {
			return err
		}
	}
	f := strings.Fields(rest)
	if len(f) != 1 {
		return fmt.Errorf("want one value behind %s, and no time", name)
	}
	v, err := strconv.ParseFloat(f[0], 64)
	if err != nil || strings.ContainsAny(f[0], "_xXpP") {
		return fmt.Errorf("%.40q is no value", f[0])
	}
	return p.add(name, labels, v)
}

// comment takes the types; other comments and help are for people.
func (p *parser) comment(f []string) error {
	if len(f) == 0 || f[0] != "TYPE" {
		return nil
	}
	if len(f) != 3 || !validName(f[1], true) {
		return fmt.Errorf("a type wants a name and a kind")
	}
	if _, twice := p.kinds[f[1]]; twice {
		return fmt.Errorf("second type of %s", f[1])
	}
	switch f[2] {
	case "counter":
		p.kinds[f[1]] = metric.Counter
	case "gauge", "untyped":
		p.kinds[f[1]] = metric.Gauge
	case "histogram", "summary":
		p.kinds[f[1]] = metric.Gauge
		for _, suffix := range []string{"_count", "_sum", "_bucket"} {
			p.kinds[f[1]+suffix] = metric.Counter
		}
	default:
		return fmt.Errorf("%.40q is no type", f[2])
	}
	return nil
}

func (p *parser) add(name string, labels []metric.Label, v float64) error {
	sort.Slice(labels, func(i, j int) bool { return labels[i].Name < labels[j].Name })
	s := sample{value: v, line: p.number}
	family, series := name, name
	var names []string
	for i, l := range labels {
		if i > 0 && labels[i-1].Name == l.Name {
			return fmt.Errorf("label %s twice", l.Name)
		}
		names, s.labels = append(names, l.Name), append(s.labels, l.Value)
		family += "\x00" + l.Name
		series += "\x00" + l.Name + "\x00" + l.Value
	}
	if p.seen[series] {
		return fmt.Errorf("%s is there twice", name)
	}
	p.seen[series] = true
	if p.descs[family] == nil {
		p.descs[family] = &metric.Desc{Name: name, Kind: p.kinds[name], Labels: names}
	}
	s.desc = p.descs[family]
	p.samples = append(p.samples, s)
	return nil
}

// readLabels reads name="value" pairs up to the closing brace.
func readLabels(s string) (labels []metric.Label, rest string, err error) {
	for {
		s = strings.TrimLeft(s, " \t")
		if rest, ok := strings.CutPrefix(s, "}"); ok {
			return labels, rest, nil
		}
		name, after, ok := strings.Cut(s, "=")
		name = strings.TrimRight(name, " \t")
		if !ok || !validName(name, false) || strings.HasPrefix(name, "__") || len(labels) >= maxLabels {
			return nil, "", fmt.Errorf("%.40q is no label", name)
		}
		value, after, ok := readQuoted(strings.TrimLeft(after, " \t"))
		if !ok || len(value) > maxValue {
			return nil, "", fmt.Errorf("label %s has no value", name)
		}
		labels = append(labels, metric.Label{Name: name, Value: value})
		s = strings.TrimLeft(after, " \t")
		if !strings.HasPrefix(s, "}") {
			if s, ok = strings.CutPrefix(s, ","); !ok {
				return nil, "", fmt.Errorf("label %s: want a comma or a brace", name)
			}
		}
	}
}

// readQuoted reads a value in quotes with the escapes \\, \" and \n.
func readQuoted(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c != '\\':
			b.WriteByte(c)
		default:
			i++
			if i == len(s) || !strings.ContainsRune(`\"n`, rune(s[i])) {
				return "", "", false
			}
			if s[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(s[i])
			}
		}
	}
	return "", "", false
}

func validName(s string, colons bool) bool {
	if s == "" || len(s) > maxName || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !(colons && c == ':') {
			return false
		}
	}
	return true
}
