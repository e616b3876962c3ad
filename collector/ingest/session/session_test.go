package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/collector/ingest"
	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

// world is one collector and one agent on a simulated network, in a bubble.
type world struct {
	net   *network
	auth  *authority
	store *ledger
	coll  *collector
	agent *agent
}

const collectorPort = 7443

func newWorld(t *testing.T, seed uint64, change func(*ingest.Config)) *world {
	t.Helper()
	w := &world{net: newNetwork(seed), auth: newAuthority(t), store: newLedger()}
	w.startCollector(t, change)
	w.agent = newAgent(t, w.auth, w.network())
	return w
}

func (w *world) startCollector(t *testing.T, change func(*ingest.Config)) {
	w.coll = startCollector(t, w.net.listen(collectorPort), w.auth, w.store, change)
}

func (w *world) network() uplink.Network {
	return uplink.Network{
		Listen:  func() (net.PacketConn, error) { return w.net.listen(0), nil },
		Resolve: resolveTo(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: collectorPort}),
	}
}

func (w *world) close() {
	w.agent.close()
	w.coll.stop()
	time.Sleep(5 * time.Second) // what is under way arrives, timers end
}

func (w *world) connected() bool { return w.agent.up.Status().State == uplink.Connected }

// inBubble runs a test in its own time. Package zstd keeps channels in its encoders,
// which are pooled, and a channel belongs to the bubble that made it: two collections
// empty the pools.
func inBubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	runtime.GC()
	runtime.GC()
	synctest.Test(t, fn)
}

func TestMetricsAndInventoryArrive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		defer w.close()
		w.agent.start()
		for i := range 30 {
			w.agent.append(time.Now().UnixMilli(), 100)
			if i%10 == 0 {
				w.agent.inventory(time.Now().UnixMilli(), 40, 4+i*20) // the larger ones go by the bulk stream
			}
			time.Sleep(10 * time.Second)
		}
		w.agent.waitDrained(time.Minute)
		checkLedger(t, w.store, w.agent)
		w.store.set(func() {
			if w.store.twice != 0 || len(w.store.values) != 100 {
				t.Errorf("%d duplicates, %d series; want 0, 100", w.store.twice, len(w.store.values))
			}
		})
		if st := w.coll.Stats(); st.Sessions != 1 || st.Connected != 1 || len(st.Refused) != 0 {
			t.Errorf("stats %+v; want one quiet session", st)
		}
	})
}

func TestHourOfOutageIsReplayedExactly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		defer w.close()
		w.agent.start()
		gather := func(d time.Duration) {
			for range d / (10 * time.Second) {
				w.agent.append(time.Now().UnixMilli(), 50)
				time.Sleep(10 * time.Second)
			}
		}
		gather(2 * time.Minute)
		w.net.set(func() { w.net.down = true })
		gather(time.Hour)
		if w.connected() {
			t.Error("agent still believes it is connected")
		}
		w.net.set(func() { w.net.down = false })
		gather(3 * time.Minute)
		w.agent.waitDrained(time.Minute)
		checkLedger(t, w.store, w.agent)
		w.store.set(func() {
			for at, n := range w.store.frames {
				if n != 1 {
					t.Errorf("frame %d was appended %d times", at, n)
				}
			}
		})
	})
}

func TestSilentCollectorIsNoticedWithinFiveSecondsOfAHeartbeat(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *ingest.Config) { c.Heartbeat = 15 * time.Second })
		defer w.close()
		w.agent.start()
		waitFor(t, 5*time.Second, "session", w.connected)
		time.Sleep(time.Minute) // heartbeats alone
		var seen int
		w.store.set(func() { seen = w.store.seen })
		if !w.connected() || seen < 3 {
			t.Fatalf("connected %v, %d heartbeats in a minute", w.connected(), seen)
		}
		w.net.set(func() { w.net.down = true })
		// The next heartbeat is at most 15 s away.
		d := waitFor(t, 15*time.Second+5*time.Second+100*time.Millisecond, "the end of the session", func() bool { return !w.connected() })
		t.Logf("noticed %v after the cut", d)
		w.net.set(func() { w.net.down = false })
		waitFor(t, 90*time.Second, "new session", w.connected)
	})
}

func TestLossyNetworkLosesNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, seed, nil)
				defer w.close()
				w.net.set(func() { w.net.drop, w.net.twice, w.net.spread = 0.3, 0.1, 200*time.Millisecond })
				w.agent.start()
				for i := range 200 {
					w.agent.append(time.Now().UnixMilli(), 20+i%100)
					if i%20 == 0 {
						w.agent.inventory(time.Now().UnixMilli(), 30, 200)
					}
					time.Sleep(3 * time.Second)
				}
				w.agent.waitDrained(30 * time.Minute)
				checkLedger(t, w.store, w.agent)
				w.net.set(func() {
					if w.net.dropped < 100 {
						t.Errorf("only %d packets dropped", w.net.dropped)
					}
					t.Logf("%d packets, %d dropped, %d sessions", w.net.packets, w.net.dropped, w.coll.Stats().Sessions)
					w.net.drop = 0
				})
			})
		})
	}
}

func TestFlappingNetworkLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 9, nil)
		defer w.close()
		w.agent.start()
		for i := range 300 {
			w.net.set(func() { w.net.down = i%3 == 0 })
			w.agent.append(time.Now().UnixMilli(), 30)
			time.Sleep(3 * time.Second)
		}
		w.net.set(func() { w.net.down = false })
		w.agent.waitDrained(5 * time.Minute)
		checkLedger(t, w.store, w.agent)
	})
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		defer w.close()
		w.agent.start()
		w.agent.append(time.Now().UnixMilli(), 10)
		w.agent.waitDrained(time.Minute)
		w.store.set(func() { w.store.err = errTold })
		for range 30 {
			w.agent.append(time.Now().UnixMilli(), 10)
			time.Sleep(10 * time.Second)
		}
		if n := w.agent.spool.Stats().Batches; n != 30 {
			t.Errorf("%d batches wait, want all 30", n)
		}
		if st := w.agent.up.Status(); st.Result != uplink.StorageFull.String() && st.State != uplink.Connected {
			t.Errorf("status %+v, want result %q", st, uplink.StorageFull)
		}
		if n := w.coll.Stats().Refused[wire.CodeStorage]; n == 0 || n > 12 {
			t.Errorf("%d sessions ended by the storage fault in 5 minutes, want one each 30 s", n)
		}
		w.store.set(func() { w.store.err = nil })
		w.agent.waitDrained(2 * time.Minute)
		checkLedger(t, w.store, w.agent)
	})
}

func TestPanicInAStoreEndsOneSessionNotTheCollector(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 5, nil)
		defer w.close()
		w.store.set(func() { w.store.panicOn = wire.KindInventory })
		w.agent.start()
		w.agent.append(time.Now().UnixMilli(), 10)
		w.agent.inventory(time.Now().UnixMilli(), 3, 3)
		waitFor(t, time.Minute, "the panic", func() bool { return w.coll.Stats().Panics > 0 })
		w.store.set(func() { w.store.panicOn = 0 })
		w.agent.waitDrained(3 * time.Minute)
		checkLedger(t, w.store, w.agent)
	})
}

func TestResyncRequestIsAnsweredWithTheWholeSection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 6, nil)
		defer w.close()
		w.agent.start()
		w.agent.inventory(time.Now().UnixMilli(), 3, 3)
		w.agent.waitDrained(time.Minute) // while it has the whole section the spool need not make it again
		w.store.set(func() { w.store.resync = []facts.ID{facts.Users} })
		w.agent.inventory(time.Now().UnixMilli(), 3, 3)
		waitFor(t, time.Minute, "the third batch", func() bool { return w.store.count() == 3 })
	})
}

func TestShutdownSpreadsTheAgentsAndTheyComeBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 7, nil)
		defer w.close()
		w.agent.start()
		waitFor(t, 5*time.Second, "session", w.connected)
		start := time.Now()
		w.coll.stop()
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("shutdown took %v", d)
		}
		waitFor(t, time.Second, "the end of the session", func() bool { return !w.connected() })
		if st := w.agent.up.Status(); st.Result != uplink.Shutdown.String() {
			t.Errorf("status %+v, want result %q", st, uplink.Shutdown)
		}
		w.agent.append(time.Now().UnixMilli(), 10)
		w.startCollector(t, nil)
		w.agent.waitDrained(time.Minute)
		checkLedger(t, w.store, w.agent)
	})
}

func TestRevocationEndsTheSessionWithinASecond(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 8, nil)
		defer w.close()
		w.agent.start()
		waitFor(t, 5*time.Second, "session", w.connected)
		w.auth.revoke(w.agent.host)
		w.coll.Revoke(w.agent.host)
		waitFor(t, time.Second, "the end of the session", func() bool { return !w.connected() })
		for range 20 {
			w.agent.append(time.Now().UnixMilli(), 10)
			time.Sleep(10 * time.Second)
		}
		if st := w.agent.up.Status(); st.Result != uplink.Revoked.String() || !strings.Contains(st.LastError, "atalaya-agent enroll --replace") || w.store.count() != 0 {
			t.Errorf("status %+v, %d batches taken after the revocation", st, w.store.count())
		}
	})
}

func TestSecondMachineWithTheSameKeyIsNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 10, nil)
		defer w.close()
		w.agent.start()
		clone := &agent{t: t, dir: t.TempDir(), net: w.network(), sent: map[batchName]uint32{}, host: w.agent.host}
		copyState(t, w.agent.dir, clone.dir)
		var err error
		if clone.spool, err = spool.Open(clone.dir, spool.Config{}); err != nil {
			t.Fatal(err)
		}
		clone.start()
		defer clone.close()
		time.Sleep(20 * time.Minute)
		st := w.coll.Stats()
		if len(st.Clones) != 1 || st.Clones[0] != w.agent.host {
			t.Errorf("clones %v, want %v", st.Clones, w.agent.host)
		}
		if st.Replaced > 120 {
			t.Errorf("the two replaced each other %d times in 20 minutes", st.Replaced)
		}
	})
}

func TestSetBackSpoolBeginsANewEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 11, nil)
		defer w.close()
		w.agent.append(time.Now().UnixMilli(), 10)
		w.agent.append(time.Now().UnixMilli()+1, 10)
		w.store.set(func() { w.store.highSeq = 7 })
		epoch, _ := w.agent.spool.Position()
		w.agent.start()
		waitFor(t, 5*time.Second, "the new epoch", func() bool { e, _ := w.agent.spool.Position(); return e != epoch })
		w.store.set(func() { w.store.highSeq = 0 })
		w.agent.waitDrained(time.Minute)
		if w.store.count() != 2 {
			t.Errorf("%d batches arrived, want 2", w.store.count())
		}
	})
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 12, func(c *ingest.Config) { c.Heartbeat = 50 * time.Second })
		defer w.close()
		w.agent.start()
		var ends []time.Time
		for range 24 * 20 {
			time.Sleep(time.Hour)
			if until := w.agent.up.Status().CertUntil; len(ends) == 0 || !until.Equal(ends[len(ends)-1]) {
				ends = append(ends, until)
			}
			if !w.connected() {
				t.Fatalf("not connected: %+v", w.agent.up.Status())
			}
		}
		if len(ends) < 4 || len(ends) > 6 {
			t.Errorf("%d certificates in 20 days, want one each 4.7 days", len(ends))
		}
		if st := w.coll.Stats(); st.Sessions != 1 {
			t.Errorf("%d sessions, want one: renewal does not end it", st.Sessions)
		}
	})
}

func TestExpiredHostProvesItselfAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 13, nil)
		defer w.close()
		time.Sleep(30 * 24 * time.Hour) // switched off
		w.agent.start()
		waitFor(t, 10*time.Second, "session", w.connected)
	})
}

func TestTokenIsUsedOnceButTheReplyMayBeAskedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 14, nil)
		defer w.close()
		token := w.auth.token()
		dir := t.TempDir()
		for range 2 {
			if _, err := uplink.Enroll(context.Background(), uplink.Enrolment{Dir: dir, Token: &token, Network: w.network()}); err != nil {
				t.Errorf("Enroll: %v", err)
			}
		}
		_, err := uplink.Enroll(context.Background(), uplink.Enrolment{Dir: t.TempDir(), Token: &token, Network: w.network()})
		wantEnd(t, err, uplink.Refused, "used by another host")
		token.Secret[0] ^= 1
		_, err = uplink.Enroll(context.Background(), uplink.Enrolment{Dir: t.TempDir(), Token: &token, Network: w.network()})
		wantEnd(t, err, uplink.Refused, "no such token")
		token.CAPin[0] ^= 1
		_, err = uplink.Enroll(context.Background(), uplink.Enrolment{Dir: t.TempDir(), Token: &token, Network: w.network()})
		wantEnd(t, err, uplink.WrongCollector, "the token is for another collector")
	})
}

func wantEnd(t *testing.T, err error, result uplink.Result, text string) {
	t.Helper()
	var end *uplink.End
	if !errors.As(err, &end) || end.Result != result || !strings.Contains(end.Error(), text) || strings.Contains(end.Error(), "\n") {
		t.Errorf("error %v, want one line with result %q and %q", err, result, text)
	}
}

func TestEachReasonForNoSessionIsNamed(t *testing.T) {
	cases := map[string]struct {
		spoil  func(w *world)
		result uplink.Result
		text   string
	}{
		"unreachable": {func(w *world) { w.net.set(func() { w.net.down = true }) }, uplink.Unreachable, "do firewalls let this UDP port pass"},
		"wrong_collector": {func(w *world) {
			other := newAuthority(w.agent.t)
			w.coll.stop()
			w.coll = startCollector(w.agent.t, w.net.listen(collectorPort), other, w.store, nil)
		}, uplink.WrongCollector, "another collector than the one this host enrolled with"},
		"unknown_host": {func(w *world) { clear(w.auth.hosts) }, uplink.UnknownHost, "atalaya-agent enroll --replace"},
		"unresolvable": {func(w *world) {
			w.agent.net.Resolve = func(context.Context, string) ([]net.Addr, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "collector.test"}
			}
		}, uplink.Unreachable, "cannot be resolved"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, 15, nil)
				defer w.close()
				c.spoil(w)
				w.agent.start()
				time.Sleep(40 * time.Second)
				w.net.set(func() { w.net.down = false })
				st := w.agent.up.Status()
				if st.Result != c.result.String() || !strings.Contains(st.LastError, c.text) || strings.Contains(st.LastError, "\n") {
					t.Errorf("status %+v, want result %q and %q", st, c.result, c.text)
				}
			})
		})
	}
}

func TestNotEnrolledSaysWhatToDo(t *testing.T) {
	s, err := spool.Open(t.TempDir(), spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = uplink.New(uplink.Config{Address: "a:1", Dir: t.TempDir(), Spool: s}).Run(context.Background())
	wantEnd(t, err, uplink.UnknownHost, "atalaya-agent enroll --token-file")
}

// TestRivalOfALiveAgentIsKnown: of a second agent with the key it is told that the first
// answers, unless that has ended, however suddenly.
func TestRivalOfALiveAgentIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 12, nil)
		defer w.close()
		w.agent.run = 1
		w.agent.start()
		waitFor(t, 5*time.Second, "session", w.connected)
		second := &agent{t: t, dir: t.TempDir(), net: w.network(), sent: map[batchName]uint32{}, host: w.agent.host, run: 2}
		copyState(t, w.agent.dir, second.dir)
		var err error
		if second.spool, err = spool.Open(second.dir, spool.Config{}); err != nil {
			t.Fatal(err)
		}
		second.start()
		defer second.close()
		greeted := func(n int) func() bool {
			return func() bool {
				w.store.mu.Lock()
				defer w.store.mu.Unlock()
				return len(w.store.live) >= n
			}
		}
		waitFor(t, 10*time.Second, "the second Hello", greeted(2))
		w.store.set(func() {
			if w.store.live[0] || !w.store.live[1] {
				t.Errorf("live %v, want only the second to have a rival", w.store.live)
			}
		})
	})
}

// TestSpoolThatWentOnAfterARollbackBeginsANewEpoch: the number is not behind any more,
// but under it the collector has another batch.
func TestSpoolThatWentOnAfterARollbackBeginsANewEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 13, nil)
		defer w.close()
		for i := range 3 {
			w.agent.append(time.Now().UnixMilli()+int64(i), 10)
		}
		epoch, _ := w.agent.spool.Position()
		w.store.set(func() { w.store.highSeq, w.store.highSum = 2, 12345 })
		w.agent.start()
		waitFor(t, 5*time.Second, "the new epoch", func() bool { e, _ := w.agent.spool.Position(); return e != epoch })
		w.store.set(func() { w.store.highSeq, w.store.highSum = 0, 0 })
		w.agent.waitDrained(time.Minute)
		if w.store.count() != 3 {
			t.Errorf("%d batches arrived, want 3", w.store.count())
		}
	})
}
