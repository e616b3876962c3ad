package atalaya

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// The ledger agent is a real spool and a real uplink fed by a generator that writes
// down what it is about to hand over, what was taken, and what was acknowledged, each
// line synced before it goes on. The ledger is the witness against which the
// collector's answers are held.

var ledgerDesc = metric.Desc{Name: "ledger_value", Help: "Number of the reading."}

const ledgerPause = 20 * time.Millisecond

func runLedgerAgent(dir string) error {
	ledger, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	sp, err := spool.Open(dir, spool.Config{})
	if err != nil {
		return err
	}
	address, err := os.ReadFile(filepath.Join(dir, "collector"))
	if err != nil {
		return err
	}
	w := &witness{Spool: sp, file: ledger}
	up := uplink.New(uplink.Config{
		Address: strings.TrimSpace(string(address)),
		Dir:     dir,
		Spool:   w,
		Hello:   wire.Hello{Hostname: "ledger", OS: "linux", Arch: "amd64", MachineID: "ledger", IntervalMillis: ledgerPause.Milliseconds()},
		Resync:  func(ids []facts.ID) { w.note("resync %v", ids); sp.Resync(ids) },
	})
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- up.Run(ctx) }()
	for ctx.Err() == nil {
		if _, err := os.Stat(filepath.Join(dir, "quiet")); err == nil {
			if sp.Stats().Batches == 0 {
				w.note("drained")
				break
			}
		} else if err := w.generate(sp); err != nil {
			return err
		}
		time.Sleep(ledgerPause)
	}
	cancel()
	return errors.Join(<-done, sp.Close(), ledger.Close())
}

type witness struct {
	*spool.Spool
	mu   sync.Mutex
	file *os.File
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := fmt.Fprintf(w.file, format+"\n", args...); err != nil {
		panic(err)
	}
}

// generate makes one reading of the metric and, of every fifth, a changed row. The
// time in milliseconds is the number: it grows over restarts.
func (w *witness) generate(sp *spool.Spool) error {
	n := time.Now().UnixMilli()
	id, _ := sp.Dictionary().ID(&ledgerDesc)
	w.note("begin metric %d", n)
	if err := sp.AppendMetrics([]metric.Frame{{At: n, Samples: []metric.Sample{{Series: id, Value: float64(n % 1e6)}}}}); err != nil {
		return err
	}
	w.note("stored metric %d", n)
	if n/ledgerPause.Milliseconds()%5 != 0 {
		return nil
	}
	w.note("begin row %d", n)
	err := sp.AppendInventory([]facts.Reading{{Section: facts.Users, Status: facts.StatusOK, At: facts.Time(n),
		Rows: []facts.Row{&facts.UserRow{Name: "ledger", UID: n}}}})
	if err == nil {
		w.note("stored row %d", n)
	}
	return err
}

func (w *witness) Ack(epoch uint64, seqs []uint64) error {
	for _, q := range seqs {
		w.note("acked %d %d", epoch, q)
	}
	return w.Spool.Ack(epoch, seqs)
}

// TestKillsLoseAndDoubleNothing kills either side at random points under load. In the
// end every reading that the spool had taken is at the collector exactly once, with
// its own time and value, and nothing is there that was never made.
func TestKillsLoseAndDoubleNothing(t *testing.T) {
	rounds := killsOr(t, 50)
	if testing.Short() {
		rounds = 8
	}
	s := newSite(t)
	s.serve()
	state := s.enrolled("ledger")
	play := func() *process {
		return startEnv(t, []string{ledgerEnv + "=" + state}, state+".log", os.Args[0])
	}
	agent := play()
	rng := rand.New(rand.NewPCG(1, 2))
	kills := map[string]int{}
	for range rounds {
		time.Sleep(time.Duration(100+rng.IntN(900)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			kills["agent"]++
			agent.kill()
			agent = play()
		} else {
			kills["collector"]++
			s.proc.kill()
			s.serve()
		}
	}
	if err := os.WriteFile(filepath.Join(state, "quiet"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("the spool did not drain: %s", agent.log())
	}
	l := readLedger(t, filepath.Join(state, "ledger"))
	if !l.drained || l.acked == 0 || kills["agent"] == 0 || kills["collector"] == 0 {
		t.Fatalf("nothing was tested: drained %v, %d acknowledged, kills %v\n%s", l.drained, l.acked, kills, agent.log())
	}
	t.Logf("%v kills; %d batches acknowledged; %d samples and %d rows stored, %d and %d begun",
		kills, l.acked, len(l.stored["metric"]), len(l.stored["row"]), len(l.begun["metric"]), len(l.begun["row"]))
	l.hold(t, "metric", s.ledgerSamples())
	l.hold(t, "row", s.ledgerRows())
}

type ledger struct {
	begun, stored map[string]map[int64]bool
	acked         int
	drained       bool
}

func readLedger(t *testing.T, path string) *ledger {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{begun: map[string]map[int64]bool{"metric": {}, "row": {}}, stored: map[string]map[int64]bool{"metric": {}, "row": {}}}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && (f[0] == "begin" || f[0] == "stored"):
			n, err := strconv.ParseInt(f[2], 10, 64)
			if err != nil {
				t.Fatalf("ledger: %q", line)
			}
			if f[0] == "begin" {
				l.begun[f[1]][n] = true
			} else {
				l.stored[f[1]][n] = true
			}
		case f[0] == "acked":
			l.acked++
		case f[0] == "drained":
			l.drained = true
		}
	}
	return l
}

// hold compares what the collector has with the ledger.
func (l *ledger) hold(t *testing.T, kind string, have []int64) {
	t.Helper()
	seen := map[int64]bool{}
	for _, n := range have {
		if seen[n] {
			t.Errorf("%s %d is there twice", kind, n)
		}
		if !l.begun[kind][n] {
			t.Errorf("%s %d is there and was never made", kind, n)
		}
		seen[n] = true
	}
	for n := range l.stored[kind] {
		if !seen[n] {
			t.Errorf("%s %d was stored and is not there", kind, n)
		}
	}
}

// rangeDoc is what the tests read of `metric query` of a range.
type rangeDoc struct {
	Data struct {
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// ledgerSamples returns the times of the samples; their values must belong to them.
func (s *site) ledgerSamples() []int64 {
	s.t.Helper()
	var v rangeDoc
	s.answer(&v, "metric", "query", "ledger_value[1h]")
	var out []int64
	for _, r := range v.Data.Result {
		for _, p := range r.Values {
			at := int64(math.Round(p[0].(float64) * 1000))
			if want := strconv.FormatInt(at%1e6, 10); p[1] != want {
				s.t.Errorf("sample at %d has the value %v, want %s", at, p[1], want)
			}
			out = append(out, at)
		}
	}
	return out
}

// ledgerRows returns the values that the row had, from the host's history.
func (s *site) ledgerRows() []int64 {
	s.t.Helper()
	var v struct {
		Changes []struct {
			Kind    string `json:"kind"`
			Columns []struct {
				Name string `json:"name"`
				New  any    `json:"new"`
			} `json:"columns"`
		} `json:"changes"`
	}
	s.answer(&v, "host", "history", "ledger", "--section", "users", "--details", "--limit", "100000")
	var out []int64
	for _, c := range v.Changes {
		for _, col := range c.Columns {
			if uid, ok := col.New.(float64); ok && col.Name == "uid" {
				out = append(out, int64(uid))
			}
		}
	}
	return out
}

// TestOutageLeavesNoGap stops the collector for a while: what was read meanwhile
// arrives afterwards with its own times.
func TestOutageLeavesNoGap(t *testing.T) {
	outage := 12 * time.Second
	if testing.Short() {
		outage = 4 * time.Second
	}
	s := newSite(t)
	s.serve()
	state := s.enrolled("agent")
	s.runAgent(state)
	s.reported(state)
	if err := s.proc.stop(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(outage)
	s.serve()
	var v rangeDoc
	span := outage + 6*time.Second // at one reading a second
	waitFor(t, 60*time.Second, "the readings of the outage", func() error {
		s.answer(&v, "metric", "query", fmt.Sprintf("node_load1[%ds]", int(span.Seconds())))
		if len(v.Data.Result) != 1 {
			return fmt.Errorf("%d series", len(v.Data.Result))
		}
		points := v.Data.Result[0].Values
		if age := float64(time.Now().UnixMilli())/1000 - points[len(points)-1][0].(float64); age > 3 {
			return fmt.Errorf("newest reading is %.1f s old", age)
		}
		for i := 1; i < len(points); i++ {
			if gap := points[i][0].(float64) - points[i-1][0].(float64); gap > 1.9 || gap < 0.1 {
				return fmt.Errorf("%.3f s between two readings", gap)
			}
		}
		if len(points) < int(outage.Seconds()) {
			return fmt.Errorf("%d readings", len(points))
		}
		return nil
	})
}
