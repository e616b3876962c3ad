package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBudgetOfAConfiguration(t *testing.T) {
	f := func(text, wantErr string) Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "agent.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadConfig(file, false)
		if (err != nil) != (wantErr != "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%q: %v, want %q", text, err, wantErr)
		}
		return c
	}
	c := f("budget: {cpu: 1%, memory: 64MiB, probes: {packages: {timeout: 10s, period: 1h}}}\n", "")
	b := c.budget()
	if b.CPU != 0.01 || b.Memory != 64<<20 || b.Probes["packages"].Timeout != 10*time.Second || b.Probes["packages"].Period != time.Hour {
		t.Errorf("%+v", b)
	}
	f("budget: {cpu: 0, memory: 0}\n", "")
	f("budget: {cpu: 1}\n", "want a share")
	f("budget: {cpu: 200%}\n", "from 0% to 100%")
	f("budget: {memory: 1KiB}\n", "4MiB")
	f("budget: {probes: {nosuch: {period: 1h}}}\n", `no probe is called "nosuch" (these are: `)
	f("budget: {probes: {packages: {period: 1ms}}}\n", "between 1s and 24h")
	f("interval: 1s\n", "")
	f("interval: 500ms\n", "between 1s and 1h")
	if use := ownUse(); use.CPU < 0 || use.Anonymous < 1<<20 {
		t.Errorf("%+v", use)
	}
}
