package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func loadText(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path, false)
}

func TestConfigFileOverridesDefaults(t *testing.T) {
	c, err := loadText(t, "interval: 30s\ndisabled_sections: [users, groups]\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Interval != 30*time.Second || len(c.DisabledSections) != 2 || c.InventoryInterval != DefaultConfig().InventoryInterval {
		t.Errorf("got %+v", c)
	}
}

func TestEmptyAndMissingConfigGiveDefaults(t *testing.T) {
	if _, err := loadText(t, ""); err != nil {
		t.Errorf("empty file: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none.yml")
	if _, err := LoadConfig(missing, true); err != nil {
		t.Errorf("missing file that may miss: %v", err)
	}
	if _, err := LoadConfig(missing, false); err == nil {
		t.Error("a file that was asked for and is missing gave no error")
	}
}

func TestBadConfigNamesFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"interval: 10s\nintervall: 5s\n": "line 2: unknown key intervall",
		"interval: soon\n":               "line 1: `soon`: want a duration",
		"interval: 2\n":                  "line 1: `2`: want a duration",
		"- a\n":                          "line 1: a list: want lines NAME: VALUE",
		"disabled_sections: 5\n":         "line 1: `5`: want a list: [a, b]",
		"spool_max_bytes: abc\n":         "line 1: `abc`: want a number",
		"state_dir: {a: b}\n":            "line 1: NAME: VALUE: want a text",
		"interval: 1ms\n":                "interval 1ms: must lie between 1s and 1h",
		"disabled_sections: [pakages]\n": `no section is called "pakages": did you mean packages? (`,
		"log_level: loud\n":              `log_level "loud"`,
		"interval: [\n":                  "line",
		"budget:\n  cpu: 300%\n":         `line 2: budget.cpu "300%": want a share`,
		"budget:\n  memory: lots\n":      `line 2: budget.memory "lots": want a size`,
	} {
		_, err := loadText(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "agent.yml") {
			t.Errorf("%q: got %v, want it to contain %q and the file", text, err, want)
		}
	}
}
