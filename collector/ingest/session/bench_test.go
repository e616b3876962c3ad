package session

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/collector/ingest"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// ipUDP is what IPv4 and UDP add to each packet.
const ipUDP = 28

// TestWireBytesOfADay measures what 100 series cost on the wire, acks, heartbeats, IP
// and UDP headers included. The bar for 60 s is 0.9 MB.
func TestWireBytesOfADay(t *testing.T) {
	for _, c := range []struct {
		interval, heartbeat time.Duration
		limit               int
	}{
		{60 * time.Second, 35 * time.Second, 900_000}, // the default
		{60 * time.Second, 15 * time.Second, 1_700_000},
		{10 * time.Second, 35 * time.Second, 3_500_000},
	} {
		t.Run(fmt.Sprintf("%v_heartbeat_%v", c.interval, c.heartbeat), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, 1, func(cfg *ingest.Config) { cfg.Heartbeat = c.heartbeat })
				defer w.close()
				w.agent.start()
				waitFor(t, 5*time.Second, "session", w.connected)
				w.agent.append(time.Now().UnixMilli(), 100)
				w.agent.waitDrained(time.Minute)
				packets, bytes := w.net.carried()
				const hours = 2
				n := int(hours * time.Hour / c.interval)
				for range n {
					w.agent.append(time.Now().UnixMilli(), 100)
					time.Sleep(c.interval)
				}
				packetsEnd, bytesEnd := w.net.carried()
				packets, bytes = packetsEnd-packets, bytesEnd-bytes
				day := (bytes + packets*ipUDP) * 24 / hours
				t.Logf("%.2f MB a day with headers; %d B UDP payload and %.1f packets per reading of 100 series", float64(day)/1e6, bytes/n, float64(packets)/float64(n))
				if day > c.limit {
					t.Errorf("%d bytes a day, limit %d", day, c.limit)
				}
			})
		})
	}
}

// BenchmarkIdleSession reports the memory of the collector per session that has sent
// one batch of 100 series, without what stores keep. The agents live in another
// process.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 500
	a := newAuthority(b)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	agents := b.TempDir()
	for i := range sessions {
		dir := fmt.Sprintf("%s/%d", agents, i)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		a.enrol(b, dir)
	}
	store := newLedger()
	live, inUse := memory()
	rss := residentBytes()
	c := startCollector(b, conn, a, store, func(cfg *ingest.Config) { cfg.Metrics = noMetrics{} })
	defer c.stop()
	many := &child{t: b, line: func(string) {}, env: []string{"SESSION_TEST_CHILD=agents", "SESSION_TEST_DIR=" + agents, "SESSION_TEST_ADDRESS=" + conn.LocalAddr().String()}}
	many.start()
	defer many.kill()
	waitFor(b, time.Minute, "the batches of all", func() bool { return store.count() == sessions })
	for b.Loop() {
		runtime.Gosched()
	}
	liveEnd, inUseEnd := memory()
	b.ReportMetric(float64(residentBytes()-rss)/sessions, "rss-B/session") // after the free pages went back
	b.ReportMetric(float64(inUseEnd-inUse)/sessions, "heap-B/session")
	b.ReportMetric(float64(liveEnd-live)/sessions, "live-B/session")
	b.ReportMetric(float64(runtime.NumGoroutine())/sessions, "goroutines/session")
}

// noMetrics is a store of samples that keeps nothing.
type noMetrics struct{}

func (noMetrics) Ready(context.Context) error                          { return nil }
func (noMetrics) Session(identity.HostID, string) ingest.MetricSession { return noMetrics{} }
func (noMetrics) Begin(context.Context) ingest.Appender                { return noMetrics{} }
func (noMetrics) Sync() error                                          { return nil }
func (noMetrics) Define(uint32, metric.Series) error                   { return nil }
func (noMetrics) Append(ingest.MetricSession, int64, []metric.Sample)  {}
func (noMetrics) Commit() error                                        { return nil }
func (noMetrics) Rollback()                                            {}

// memory returns what objects and stacks take, and with it the holes between objects
// that handshakes have left, after two collections: the first only moves what the
// pools hold.
func memory() (live, inUse int64) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), int64(m.HeapInuse + m.StackInuse)
}

// residentBytes is the memory of this process, see proc(5), status; 0 elsewhere.
func residentBytes() (n int64) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n << 10
}

// runAgents holds a session for each folder of dir.
func runAgents(dir, address string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for _, e := range entries {
		path := dir + "/" + e.Name()
		s, err := spool.Open(path, spool.Config{})
		if err != nil {
			return err
		}
		if err := s.AppendMetrics([]metric.Frame{testFrame(s, time.Now().UnixMilli(), 100)}); err != nil {
			return err
		}
		go uplink.New(uplink.Config{Address: address, Dir: path, Spool: s}).Run(context.Background())
	}
	select {}
}
