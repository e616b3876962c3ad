package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func loadText(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "collector.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path, false)
}

func TestDefaultsPassTheirOwnCheck(t *testing.T) {
	if err := DefaultConfig().Check(); err != nil {
		t.Error(err)
	}
}

func TestConfigFileOverridesDefaults(t *testing.T) {
	c, err := loadText(t, "listen: ':9443'\napi:\n  listen: 127.0.0.1:9480\nwebhook:\n  url: http://127.0.0.1:9/hook\nhistory_retention: 720h\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":9443" || c.API.Listen != "127.0.0.1:9480" || c.Webhook.URL == "" || c.HistoryRetention != 720*time.Hour {
		t.Errorf("got %+v", c)
	}
	if c.Heartbeat != DefaultConfig().Heartbeat {
		t.Errorf("heartbeat lost its default: %v", c.Heartbeat)
	}
}

func TestBadConfigNamesFileAndReason(t *testing.T) {
	for text, want := range map[string]string{
		"listen: ':7443'\nlisten_api: x\n": "line 2: unknown key listen_api",
		"listen: nowhere\n":                `listen "nowhere": want host:port`,
		"advertise: ':7443'\n":             `advertise ":7443": want host:port`,
		"heartbeat: 15\n":                  "line 1: cannot unmarshal !!int `15`: want a duration",
		"api:\n  listen: 0.0.0.0:7480\n":   "it needs TLS",
		"heartbeat: 5m\n":                  "heartbeat 5m0s: must lie between",
		"silent_after: 10s\n":              "silent_after 10s: must be at least twice",
		"api:\n  certificate: x\n":         "api.certificate and api.key go together",
		"webhook: {}\n":                    "webhook: give url or url_file",
		"webhook:\n  url: ftp://x/\n":      "webhook.url: want http",
		"history_retention: 1h\n":          "history_retention 1h0m0s: must be at least 24h",
		"log_level: loud\n":                `log_level "loud"`,
		"rule_files: ['[']\n":              `rule_files "["`,
	} {
		_, err := loadText(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "collector.yml") {
			t.Errorf("%q: got %v, want it to contain %q and the file", text, err, want)
		}
	}
}
