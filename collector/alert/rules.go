package alert

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"atalaya/collector/series"
)

// DefaultRules is the rule file that is used unless Config.NoDefaults says otherwise.
//
//go:embed rules/default.yml
var DefaultRules []byte

// DefaultRulesName stands for a file name in messages about DefaultRules.
const DefaultRulesName = "default rules"

// maxRuleFile bounds a rule file; the largest public collections have 100 KB.
const maxRuleFile = 4 << 20

// group is a rule group as it is evaluated.
type group struct {
	file, name string
	interval   time.Duration
	offset     time.Duration // query_offset
	limit      int
	rules      []*rule

	// marked is when the group was last noted in the store as evaluated.
	marked time.Time
}

// key names the group among all files.
func (g *group) key() string { return g.file + ";" + g.name }

// rule is one alerting or recording rule.
type rule struct {
	id          string // of an alerting rule, within its group
	record      string
	alert       string
	expr        string
	hold        time.Duration // for
	keepFiring  time.Duration // keep_firing_for
	labels      map[string]string
	annotations map[string]string
	asks        bool // its texts may depend on more than the result: see asking

	// made are the alerts that the last evaluation made, by the labels of their results.
	made map[string]*Alert

	// Guarded by Engine.mu.
	lastEval time.Time
	took     time.Duration
	err      error
	settling time.Time         // absence is not believed before: see Engine.step
	alerts   map[string]*Alert // pending and firing, by fingerprint
}

// Rule is what List of rules tells of one.
type Rule struct {
	File, Group   string
	Name          string // of the alert or of the recorded series
	Recording     bool
	Expr          string
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        map[string]string
	Annotations   map[string]string
	Interval      time.Duration
	State         State // the worst of its alerts
	Alerts        int   // pending and firing
	LastEval      time.Time
	Took          time.Duration
	Err           error // of the last evaluation
}

// rules yields all rules in the order of their files.
func (e *Engine) rules() iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for _, g := range e.groups {
			for _, r := range g.rules {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Rules returns all rules in the order of their files.
func (e *Engine) Rules() []Rule {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []Rule
	for _, g := range e.groups {
		for _, r := range g.rules {
			info := Rule{
				File: g.file, Group: g.name, Name: r.alert + r.record, Recording: r.record != "",
				Expr: r.expr, For: r.hold, KeepFiringFor: r.keepFiring,
				Labels: r.labels, Annotations: r.annotations, Interval: g.interval,
				State: Inactive, Alerts: len(r.alerts), LastEval: r.lastEval, Took: r.took, Err: r.err,
			}
			for _, a := range r.alerts {
				if info.State != Firing {
					info.State = a.State
				}
			}
			out = append(out, info)
		}
	}
	return out
}

func (e *Engine) loadRules() error {
	if !e.cfg.NoDefaults {
		if err := e.addRules(DefaultRulesName, DefaultRules); err != nil {
			return err
		}
	}
	for _, file := range e.cfg.Files {
		content, err := readRules(file)
		if err != nil {
			return err
		}
		if err := e.addRules(file, content); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) addRules(file string, content []byte) error {
	groups, err := parseRules(file, content)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if slices.ContainsFunc(e.groups, func(o *group) bool { return o.key() == g.key() }) {
			return fmt.Errorf("%s: rule file is given twice", file)
		}
		if g.interval == 0 {
			g.interval = e.cfg.Interval
		}
		for _, r := range g.rules {
			if r.record != "" && e.cfg.Record == nil {
				return fmt.Errorf("%s: group %q: recording rule %q: recording rules are not supported here", file, g.name, r.record)
			}
		}
		e.groups = append(e.groups, g)
	}
	return nil
}

// CheckRules returns the number of rules in the content of a rule file, and all that
// is wrong with it, each error with the file's name and line.
func CheckRules(name string, content []byte) (int, error) {
	groups, err := parseRules(name, content)
	n := 0
	for _, g := range groups {
		n += len(g.rules)
	}
	return n, err
}

func readRules(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxRuleFile+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if len(content) > maxRuleFile {
		return nil, fmt.Errorf("read rules: %s: larger than %d bytes", file, maxRuleFile)
	}
	return content, nil
}

// parseRules is strict: unknown keys, bad expressions and bad templates are errors.
func parseRules(file string, content []byte) ([]*group, error) {
	parsed, errs := rulefmt.Parse(content, false, model.LegacyValidation, series.LimitParser(), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		for i, err := range errs {
			errs[i] = errors.New(place(file, content, err))
		}
		return nil, errors.Join(errs...)
	}
	var groups []*group
	for _, pg := range parsed.Groups {
		g := &group{file: file, name: pg.Name, interval: time.Duration(pg.Interval), limit: pg.Limit}
		if pg.QueryOffset != nil {
			g.offset = time.Duration(*pg.QueryOffset)
		}
		for _, pr := range pg.Rules {
			r := newRule(pg, pr)
			for n := 2; slices.ContainsFunc(g.rules, func(o *rule) bool { return o.id == r.id }); n++ {
				r.id = fmt.Sprintf("%s#%d", r.alert+labelText(r.labels), n)
			}
			g.rules = append(g.rules, r)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func newRule(pg rulefmt.RuleGroup, pr rulefmt.Rule) *rule {
	r := &rule{
		record: pr.Record, alert: pr.Alert, expr: strings.TrimSpace(pr.Expr),
		hold: time.Duration(pr.For), keepFiring: time.Duration(pr.KeepFiringFor),
		labels: map[string]string{}, annotations: pr.Annotations, alerts: map[string]*Alert{},
	}
	for k, v := range pg.Labels {
		r.labels[k] = v
	}
	for k, v := range pr.Labels {
		r.labels[k] = v
	}
	r.id = r.alert + r.record + labelText(r.labels)
	r.asks = asking(r.labels) || asking(r.annotations)
	return r
}

var (
	// lineColumn is where rulefmt puts the place of an error, after the names of group
	// and rule. It is 0:0 where it has none.
	lineColumn = regexp.MustCompile(`(^|: )(\d+):(\d+): `)
	yamlLine   = regexp.MustCompile(`line (\d+): `)
)

// place moves the place of a rulefmt error to the front: file:line: text.
func place(file string, content []byte, err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	line := "0"
	if m := lineColumn.FindStringSubmatchIndex(text); m != nil {
		line = text[m[4]:m[5]]
		text = text[:m[3]] + text[m[1]:]
	} else if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		line = text[m[2]:m[3]]
		text = text[:m[0]] + text[m[1]:]
	}
	var of *rulefmt.Error
	if line == "0" && errors.As(err, &of) {
		line = ruleLine(content, of.Group, of.Rule)
	}
	if line == "0" {
		return file + ": " + text
	}
	return file + ":" + line + ": " + text
}

// ruleLine returns the line of a group's n-th rule, "0" if it cannot be told.
func ruleLine(content []byte, group string, n int) string {
	var doc struct {
		Groups []struct {
			Name  string
			Rules []yaml.Node
		}
	}
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return "0"
	}
	for _, g := range doc.Groups {
		if g.Name == group && n >= 1 && n <= len(g.Rules) {
			return strconv.Itoa(g.Rules[n-1].Line)
		}
	}
	return "0"
}
