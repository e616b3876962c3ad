package alert

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestRuleFileErrorsNameFileAndLine(t *testing.T) {
	f := func(name, content, want string) {
		t.Helper()
		n, err := CheckRules(name, []byte(content))
		if want == "" {
			if err != nil || n != 1 {
				t.Errorf("%s: %d rules, %v", name, n, err)
			}
			return
		}
		if err == nil {
			t.Errorf("%s: no error", name)
			return
		}
		if !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%s: %q, want %q", name, err, want)
		}
	}
	const head = "groups:\n- name: g\n  rules:\n"
	f("good", head+"  - alert: A\n    expr: x > 1\n    for: 1m\n    keep_firing_for: 1m\n", "")
	f("key", head+"  - alert: A\n    expr: x\n    fro: 1m\n", `^key:6: .*field fro not found`)
	f("expr", head+"  - alert: A\n    expr: x >\n", `^expr:5: group "g", rule 1, "A": could not parse expression`)
	f("both", head+"  - alert: A\n    record: b\n    expr: x\n", `^both:5: .*only one of 'record' and 'alert'`)
	f("none", head+"  - alert: A\n", `^none:4: group "g".*field 'expr' must be set`)
	f("label", head+"  - alert: A\n    expr: x\n    labels: {a-b: c}\n", `^label:4: .*invalid label name: a-b`)
	f("template", head+"  - alert: A\n    expr: x\n    annotations: {a: '{{ .Foo'}\n", `^template:4: .*annotation "a"`)
	f("for", head+"  - alert: A\n    expr: x\n    for: soon\n", `^for(:\d+)?: .*not a valid duration`)
	f("twice", "groups:\n- name: g\n- name: g\n", `^twice: groupname: "g" is repeated`)
	f("yaml", "groups: [", `^yaml:1: `)
	if _, err := readRules(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("absent file: no error")
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add(DefaultRules)
	f.Add([]byte("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: x >\n    labels: {a: '{{'}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := parseRules("f", content); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("error without file: %v", err)
		}
	})
}

func TestDefaultRulesTellTheNextStep(t *testing.T) {
	groups, err := parseRules(DefaultRulesName, DefaultRules)
	if err != nil {
		t.Fatal(err)
	}
	scripts := readScripts(t)
	for _, g := range groups {
		for _, r := range g.rules {
			if s := r.labels["severity"]; s != "critical" && s != "warning" && s != "info" {
				t.Errorf("%s: severity %q", r.alert, s)
			}
			if r.annotations["summary"] == "" || !strings.Contains(r.annotations["description"], "`") && r.alert != "HostDown" {
				t.Errorf("%s: summary or description without a command", r.alert)
			}
			if !strings.Contains(scripts, r.alert+"{") {
				t.Errorf("%s: no script in testdata/rules/alert", r.alert)
			}
		}
	}
}

func TestADeeplyNestedExpressionIsRefusedAtOnce(t *testing.T) {
	const depth = 200_000 // an hour for the parser alone
	expr := strings.Repeat("(", depth) + "1" + strings.Repeat(")", depth)
	_, err := CheckRules("rules.yml", []byte("groups:\n- name: g\n  rules:\n  - alert: a\n    expr: "+expr+"\n"))
	if err == nil || !strings.Contains(err.Error(), "at most") && !strings.Contains(err.Error(), "deeper") {
		t.Errorf("got %.200v", err)
	}
}
