package atalaya

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killsEnv is how often the tests kill that do so at random moments.
const killsEnv = "ATALAYA_KILLS"

func killsOr(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv(killsEnv)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFleetOutlivesKillsOfItsCollector: a fleet reports over a bad network while its
// collector is killed at random moments. The simulator's own ledger of what was
// acknowledged is the witness.
func TestFleetOutlivesKillsOfItsCollector(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	kills := killsOr(t, 5)
	s := newSite(t)
	s.serve()
	tokens := s.write("tokens", s.mustAsk("token", "create", "--count", "10"))
	state := filepath.Join(s.dir, "sim")
	shape := []string{"--state", state, "--packages", "300", "--series", "20"}
	fleet := start(t, filepath.Join(s.dir, "sim.log"), bin(t, "atalaya-sim"), append([]string{"run", "--agents", "10", "--ramp", "10",
		"--address", s.agents, "--tokens", tokens, "--interval", "1s", "--change-every", "200ms", "--days", "2", "--changes-per-day", "50",
		"--loss", "0.02", "--cut", "5s", "--down", "500ms"}, shape...)...)
	for range kills {
		time.Sleep(time.Duration(100+rand.IntN(900)) * time.Millisecond)
		s.proc.kill()
		s.serve()
	}
	waitFor(t, time.Minute, "all of the fleet in the ledger", func() error {
		text, err := os.ReadFile(filepath.Join(state, "ledger.tsv"))
		agents := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			number, _, _ := strings.Cut(line, "\t")
			agents[number] = true
		}
		if err == nil && len(agents) < 10 {
			err = fmt.Errorf("%d of 10 agents", len(agents))
		}
		return err
	})
	if err := fleet.exited(); err != nil {
		t.Fatalf("the fleet ended: %v\n%s", err, fleet.log())
	}
	if err := fleet.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, fleet.log())
	}
	args := append([]string{"check", "--server", filepath.Join(s.data, "atalaya.sock")}, shape...)
	out, err := exec.Command(bin(t, "atalaya-sim"), args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "10 hosts checked, 0 differences") {
		t.Fatalf("%v\n%s", err, out)
	}

	// A witness that finds nothing must be able to find something.
	name := filepath.Join(state, "ledger.tsv")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.Split(strings.TrimSpace(string(text)), "\n")
	fields := strings.Split(last[len(last)-1], "\t")
	step, err := strconv.Atoi(fields[3])
	if err != nil {
		t.Fatal(err)
	}
	fields[3], fields[5] = fmt.Sprint(step+40), "1"
	if err := os.WriteFile(name, append(text, (strings.Join(fields, "\t")+"\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err = exec.Command(bin(t, "atalaya-sim"), args...).CombinedOutput(); err == nil || !strings.Contains(string(out), "history:") || !strings.Contains(string(out), "rows at the collector") {
		t.Errorf("a batch that was never sent is not missed: %v\n%s", err, out)
	}
}
