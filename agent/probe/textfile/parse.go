package textfile

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"atalaya/agent/probe"
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

// content is what a file says.
type content struct {
	samples  []sample
	families probe.Families // those that have samples
}

// parse reads a whole file. Timestamps are refused: a reading is of the moment at
// which it is taken.
func parse(b []byte) (content, error) {
	if !utf8.Valid(b) {
		return content{}, fmt.Errorf("not UTF-8")
	}
	p := parser{declared: make(probe.Families), descs: make(map[string]*metric.Desc), seen: make(map[string]bool)}
	p.families = make(probe.Families)
	for line := range strings.Lines(string(b)) {
		p.number++
		if err := p.line(strings.TrimRight(line, "\r\n")); err != nil {
			return content{}, fmt.Errorf("line %d: %w", p.number, err)
		}
		if len(p.samples) > maxSamples {
			return content{}, fmt.Errorf("more than %d samples", maxSamples)
		}
	}
	return p.content, nil
}

type parser struct {
	content
	declared probe.Families // by # TYPE and # HELP
	descs    map[string]*metric.Desc
	seen     map[string]bool // series
	number   int             // of the line
}

func (p *parser) line(line string) error {
	line = strings.Trim(line, " \t")
	if line == "" {
		return nil
	}
	if comment, ok := strings.CutPrefix(line, "#"); ok {
		return p.comment(strings.TrimLeft(comment, " \t"))
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

// comment takes types and help; other comments are for people.
func (p *parser) comment(text string) error {
	word, text := cutWord(text)
	name, text := cutWord(text)
	if word != "TYPE" && word != "HELP" {
		return nil
	}
	if !validName(name, true) {
		return fmt.Errorf("%s wants the name of a metric", word)
	}
	f := p.declared[name]
	if word == "HELP" {
		if f.Help == "" && len(text) <= maxValue {
			f.Help = helpEscapes.Replace(text)
		}
	} else {
		switch {
		case f.Type != "":
			return fmt.Errorf("second type of %s", name)
		case !slices.Contains(types, text):
			return fmt.Errorf("%.40q is no type", text)
		}
		f.Type = text
	}
	p.declared[strings.Clone(name)] = f // a part of the file would keep all of it
	return nil
}

var (
	types       = []string{"counter", "gauge", "untyped", probe.Histogram, probe.Summary}
	helpEscapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)

// cutWord returns the first word of a text and what follows it, without blanks around.
func cutWord(text string) (word, rest string) {
	i := strings.IndexAny(text+" ", " \t")
	return text[:i], strings.Trim(text[i:], " \t")
}

// kind is that of the series with a name, whose family is noted; of one of the agent only
// what the file says. The parts of a histogram and of a summary are counters, but for the quantiles.
func (p *parser) kind(name string) metric.Kind {
	family := p.declared.Of(name)
	f, said := p.declared[family]
	if f.Type == "" {
		f.Type = "untyped"
	}
	f.Type, f.Help = strings.Clone(f.Type), strings.Clone(f.Help)
	if said || metric.HelpOf(family) == "" {
		p.families[strings.Clone(family)] = f
	}
	if f.Type == "counter" || family != name {
		return metric.Counter
	}
	return metric.Gauge
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
		names, s.labels = append(names, strings.Clone(l.Name)), append(s.labels, l.Value)
		family += "\x00" + l.Name
		series += "\x00" + l.Name + "\x00" + l.Value
	}
	if p.seen[series] {
		return fmt.Errorf("%s is there twice", name)
	}
	p.seen[series] = true
	if p.descs[family] == nil {
		p.descs[family] = &metric.Desc{Name: strings.Clone(name), Kind: p.kind(name), Labels: names}
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
