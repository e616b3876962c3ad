package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInventoryGoesByTheConfiguration(t *testing.T) {
	file := configFile(t, "index_max_age: 1234h\ndisabled_sections: [users]\n")
	out, talk, code := play(t, "", "inventory", "--config", file, "--section", "patches", "--section", "groups", "--format", "json")
	var doc struct {
		Sections map[string]struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil {
		t.Fatalf("exit %d: %v: %s", code, err, talk)
	}
	if _, ok := doc.Sections["users"]; ok || len(doc.Sections) != 3 {
		t.Errorf("sections: %.300v", doc.Sections)
	}
	if rows := doc.Sections["patch_state"].Rows; len(rows) != 0 && rows[0]["index_max_age_seconds"] != 1234*3600.0 {
		t.Errorf("index_max_age: %v", rows)
	}
	if _, talk, code := play(t, "", "inventory", "--config", file, "--section", "users"); code != exitFailed || !strings.Contains(talk, "disabled_sections") {
		t.Errorf("a disabled section: exit %d: %s", code, talk)
	}
}

func TestMetricsGoByTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.prom"), []byte("own_value 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := configFile(t, fmt.Sprintf("textfile_dir: %s\ndisabled_metrics: [uname]\n", dir))
	for _, args := range [][]string{{"metrics", "--config", file}, {"metrics", "--compat", "node", "--config", file}} {
		out, talk, code := play(t, "", args...)
		if code != 0 || !strings.Contains(out, "own_value 7\n") || strings.Contains(out, "node_uname_info") {
			t.Errorf("%v: exit %d: %s%.300s", args, code, talk, out)
		}
	}
}

func TestConfigurationOfAnotherMachineIsRefused(t *testing.T) {
	for _, verb := range []string{"inventory", "metrics"} {
		if _, talk, code := play(t, "", verb, "--root", t.TempDir(), "--config", "agent.yml"); code != exitUsage || !strings.Contains(talk, "--config is of this machine") {
			t.Errorf("%s: exit %d: %s", verb, code, talk)
		}
		if _, talk, code := play(t, "", verb, "--config", filepath.Join(t.TempDir(), "none.yml")); code != exitFailed || !strings.Contains(talk, "none.yml") {
			t.Errorf("%s without its file: exit %d: %s", verb, code, talk)
		}
	}
}

func TestConfigurationThatMayNotBeReadIsARemark(t *testing.T) {
	var talk strings.Builder
	if err := unlessDenied(fmt.Errorf("read configuration: %w", fs.ErrPermission), &talk); err != nil || !strings.Contains(talk.String(), "the defaults hold") {
		t.Errorf("%v: %q", err, talk.String())
	}
	bad := errors.New("line 2: unknown key")
	if err := unlessDenied(bad, &talk); err != bad {
		t.Errorf("a bad configuration: %v", err)
	}
}
