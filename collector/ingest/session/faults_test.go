package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

const year = 365 * 24 * time.Hour

func TestWrongClockIsNamedWithHowWrongItIs(t *testing.T) {
	cases := map[string]struct {
		agent     time.Duration // wrong by
		collector time.Duration // wrong by, from its start
		jump      time.Duration // wrong by, later
		text      string        // a pattern
	}{
		"agent_a_year_behind":       {agent: -year, text: "the host's certificate is not valid yet: .* wrong by at least 875[89]h"},
		"agent_13_months_ahead":     {agent: year + 30*24*time.Hour, text: "the collector's certificate ended 720h.* ago"},
		"collector_a_year_ahead":    {collector: year, text: "the collector's certificate is not valid yet: .* wrong by at least 875[89]h"},
		"collector_3_years_behind":  {collector: -3 * year, text: "the collector's certificate ended 175[12][0-9]h.* ago"},
		"collector_jumps_ahead":     {jump: year, text: "the collector's is at least 16[78]h[0-9ms]+ ahead or 1h[01]m[0-9]+s behind"},
		"collector_jumps_backwards": {jump: -year, text: "the collector's is at least 16[78]h[0-9ms]+ ahead or 1h[01]m[0-9]+s behind"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, 20, nil)
				defer w.close()
				right := w.auth.leaf.Load()
				if c.agent != 0 {
					w.agent.now = func() time.Time { return time.Now().Add(c.agent) }
				}
				if c.collector != 0 {
					w.auth.skew.Store(int64(c.collector))
					w.auth.newLeaf(t)
				}
				w.auth.skew.Store(int64(c.collector + c.jump))
				w.agent.start()
				for range 6 {
					w.agent.append(time.Now().UnixMilli(), 10)
					time.Sleep(10 * time.Second)
				}
				st := w.agent.up.Status()
				if st.Result != uplink.ClockWrong.String() || !regexp.MustCompile(c.text).MatchString(st.LastError) || strings.Contains(st.LastError, "\n") {
					t.Errorf("status %+v, want one line with result %q and %q", st, uplink.ClockWrong, c.text)
				}
				if n := w.agent.spool.Stats().Batches; n != 6 {
					t.Errorf("%d batches in the spool, want all 6", n)
				}
				if c.agent != 0 {
					return
				}
				w.auth.skew.Store(0) // somebody sets the collector's clock
				w.auth.leaf.Store(right)
				w.agent.waitDrained(3 * time.Minute)
				checkLedger(t, w.store, w.agent)
			})
		})
	}
}

func TestEnrolmentWithAWrongClockSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 21, nil)
		defer w.close()
		token := w.auth.token()
		_, err := uplink.Enroll(context.Background(), uplink.Enrolment{Dir: t.TempDir(), Token: &token, Network: w.network(),
			Now: func() time.Time { return time.Now().Add(-year) }})
		wantEnd(t, err, uplink.ClockWrong, "wrong by at least 8759h0m")
	})
}

// largeSpool gives out one batch as another than was put in: too large to be sent.
type largeSpool struct {
	*spool.Spool
	seq    uint64
	frames []metric.Frame
	series []metric.Series
}

func (s *largeSpool) Next(epoch, after uint64) (*wire.Batch, error) {
	b, err := s.Spool.Next(epoch, after)
	if err == nil && b != nil && b.Seq == s.seq {
		b.Frames = s.frames
	}
	return b, err
}

func (s *largeSpool) Series() []metric.Series { return append(s.Spool.Series(), s.series...) }

// TestBatchTooLargeToSendIsLostAlone: the encoder of the connection has noted what the
// collector never got, so that the next batches would be read wrongly.
func TestBatchTooLargeToSendIsLostAlone(t *testing.T) {
	// Noise does not compress: 150,000 samples of 10 bytes, the limit is 1 MiB.
	noise := func(s *spool.Spool) *largeSpool {
		rng := rand.New(rand.NewPCG(1, 2))
		l := &largeSpool{Spool: s, seq: 3}
		for i := range 3000 {
			f := metric.Frame{At: int64(i)}
			for n := range uint32(50) {
				f.Samples = append(f.Samples, metric.Sample{Series: n, Value: rng.NormFloat64()})
			}
			l.frames = append(l.frames, f)
		}
		return l
	}
	// Definitions of 64 KiB each: 300 of them exceed 16 MiB before they are compressed.
	names := func(s *spool.Spool) *largeSpool {
		l := &largeSpool{Spool: s, seq: 3}
		f := metric.Frame{At: 1}
		for i := range 300 {
			series := metric.Series{Name: "large"}
			for n := range wire.MaxLabels {
				text := strings.Repeat(string(rune('A'+n)), wire.MaxLabel)
				series.Labels = append(series.Labels, metric.Label{Name: text, Value: text})
			}
			l.series = append(l.series, series)
			f.Samples = append(f.Samples, metric.Sample{Series: uint32(50 + i), Value: 1})
		}
		l.frames = []metric.Frame{f}
		return l
	}
	for name, large := range map[string]func(*spool.Spool) *largeSpool{"as_it_travels": noise, "inflated": names} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, 22, nil)
				defer w.close()
				w.agent.wrap = func(s *spool.Spool) uplink.Spool { return large(s) }
				at := time.Now().UnixMilli()
				for range 6 {
					w.agent.append(at, 50)
					at += 10_000
				}
				epoch, _ := w.agent.spool.Position()
				w.agent.start()
				w.agent.waitDrained(time.Minute)
				delete(w.agent.sent, batchName{w.agent.host, epoch, 3})
				w.agent.append(at, 50) // takes the loss along
				w.agent.waitDrained(time.Minute)
				st := w.coll.Stats()
				if len(st.Refused) != 0 || st.Sessions != 2 || w.agent.spool.Stats().Lost != 1 {
					t.Errorf("%d sessions, refused %v, %d lost; want 2, none, 1", st.Sessions, st.Refused, w.agent.spool.Stats().Lost)
				}
				w.store.set(func() {
					if len(w.store.losses) != 1 || w.store.losses[0].FromSeq != 3 || w.store.losses[0].ToSeq != 3 {
						t.Errorf("losses told: %+v, want batch 3", w.store.losses)
					}
				})
				w.agent.sent[batchName{w.agent.host, epoch, 7}] = 0 // the loss is in its checksum
				checkLedger(t, w.store, w.agent)
			})
		})
	}
}

// TestSamplesWaitForAStoreOfMetricsThatIsStillOpening: sessions begin and go on, large
// inventories are taken, and the samples are once there is somewhere to put them.
func TestSamplesWaitForAStoreOfMetricsThatIsStillOpening(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 29, nil)
		defer w.close()
		w.store.loading = make(chan struct{})
		w.agent.start()
		var frames []int64
		ticks := func(n int) {
			for range n {
				frames = append(frames, time.Now().UnixMilli())
				w.agent.append(frames[len(frames)-1], 10)
				time.Sleep(time.Second)
			}
		}
		ticks(10)
		w.agent.inventory(time.Now().UnixMilli(), 3, 20_000) // goes by the bulk stream
		waitFor(t, 10*time.Second, "inventory taken", func() bool { return w.agent.spool.Stats().Batches == len(frames) })
		ticks(100) // more than may be on their way
		w.store.set(func() {
			if len(w.store.frames) != 0 || len(w.store.taken) != 1 {
				t.Errorf("%d frames and %d batches taken, want the inventory alone", len(w.store.frames), len(w.store.taken))
			}
		})
		if n := w.agent.spool.Stats().Batches; n < len(frames) {
			t.Errorf("%d batches wait at the agent, want all %d: nothing may be acknowledged", n, len(frames))
		}
		close(w.store.loading)
		w.agent.waitDrained(30 * time.Second)
		checkLedger(t, w.store, w.agent)
		for _, at := range frames {
			if n := w.store.frames[at]; n != 1 {
				t.Errorf("frame of %d was stored %d times", at, n)
			}
		}
		if n := len(w.store.hellos); n != 1 || w.store.twice != 0 {
			t.Errorf("%d sessions and %d batches that came twice, want the one session to go on", n, w.store.twice)
		}
	})
}

// TestStopDoesNotWaitForAStoreOfMetricsThatIsStillOpening: what was not taken comes again.
func TestStopDoesNotWaitForAStoreOfMetricsThatIsStillOpening(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 31, nil)
		defer w.close()
		w.store.loading = make(chan struct{})
		w.agent.start()
		at := time.Now().UnixMilli()
		w.agent.append(at, 10)
		time.Sleep(10 * time.Second)
		start := time.Now()
		w.coll.stop()
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("stop took %v", d)
		}
		close(w.store.loading)
		w.startCollector(t, nil)
		w.agent.waitDrained(time.Minute)
		checkLedger(t, w.store, w.agent)
		if n := w.store.frames[at]; n != 1 {
			t.Errorf("the frame was stored %d times", n)
		}
	})
}

// TestInventoryGoesOnWhileMetricsCannotBeWritten: more metrics wait than an agent may have
// on its way, and the agent is started anew in between.
func TestInventoryGoesOnWhileMetricsCannotBeWritten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, 23, nil)
		defer w.close()
		w.agent.start()
		var frames []int64
		tick := func() {
			frames = append(frames, time.Now().UnixMilli())
			w.agent.append(frames[len(frames)-1], 10)
			time.Sleep(10 * time.Second)
		}
		tick()
		w.agent.waitDrained(time.Minute)
		w.store.set(func() { w.store.full = errTold })
		for round := range 20 {
			for range 10 {
				tick()
			}
			if round == 10 {
				w.agent.stop()
				w.agent.start()
			}
			w.agent.inventory(time.Now().UnixMilli(), 3, 10+round%2*20_000) // each second one goes by the bulk stream
			waitFor(t, time.Minute, fmt.Sprintf("inventory %d taken", round), func() bool {
				return w.agent.spool.Stats().Batches == len(frames)-1
			})
		}
		w.store.set(func() {
			if len(w.store.frames) != 1 || len(w.store.taken) != 1+20 {
				t.Errorf("%d frames and %d batches taken of a store of metrics that is full, want 1 and 21", len(w.store.frames), len(w.store.taken))
			}
			w.store.full = nil
		})
		w.agent.waitDrained(3 * time.Minute)
		checkLedger(t, w.store, w.agent)
		// A session that ends may take its acknowledgement along: that batch comes again,
		// as a duplicate, and the store of metrics is given the same samples.
		again := 0
		for _, at := range frames {
			n := w.store.frames[at]
			if n == 0 {
				t.Errorf("frame of %d was not stored", at)
			}
			again += n - 1
		}
		if again != w.store.twice {
			t.Errorf("%d frames were stored again, of %d batches that came again", again, w.store.twice)
		}
		if w.agent.spool.Stats().Lost != 0 {
			t.Errorf("%d batches lost", w.agent.spool.Stats().Lost)
		}
	})
}
