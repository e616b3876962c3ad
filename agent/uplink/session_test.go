package uplink

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

func numbers(from, to uint64) (n []uint64) {
	for ; from <= to; from++ {
		n = append(n, from)
	}
	return n
}

func many(n int, b wire.Batch) []wire.Batch { return slices.Repeat([]wire.Batch{b}, n) }

func wantSeqs(t *testing.T, got []uint64, from, to uint64) {
	t.Helper()
	if want := numbers(from, to); !slices.Equal(got, want) {
		t.Errorf("batches %v, want %v", got, want)
	}
}

func TestWindowHoldsSixtyFourBatches(t *testing.T) {
	s := newScript(t)
	m := newMemory(many(200, small())...)
	u := s.agent(m, nil)
	p := s.accept()
	if p.hello.Epoch != 7 || p.hello.NextSeq != 201 || p.hello.MinVersion != wire.MinVersion || p.hello.MaxVersion != wire.Version {
		t.Errorf("Hello %+v", p.hello)
	}
	p.welcome(wire.Welcome{Version: 1})
	wantSeqs(t, p.take(wire.ClassBatches, maxInFlight, true), 1, maxInFlight)
	p.ack(wire.ClassBatches, 6, numbers(1, 64)...) // of another epoch: counts for nothing
	p.ack(wire.ClassBatches, 7, 2, 5, 64, 500)     // in any order; 500 was never sent
	wantSeqs(t, p.take(wire.ClassBatches, 3, true), 65, 67)
	p.ack(wire.ClassBatches, 7, 2, 5) // again: frees nothing
	p.ack(wire.ClassBatches, 7, numbers(1, 67)...)
	wantSeqs(t, p.take(wire.ClassBatches, maxInFlight, false), 68, 67+maxInFlight)
	eventually(t, u, "the full window", func(st Status) bool { return st.InFlight == maxInFlight && st.State == Connected })
	m.mu.Lock()
	defer m.mu.Unlock()
	if want := append([]uint64{2, 5, 64}, slices.DeleteFunc(numbers(1, 67), func(n uint64) bool { return n == 2 || n == 5 || n == 64 })...); !slices.Equal(m.acked, want) {
		t.Errorf("the spool was told of %v, want %v", m.acked, want)
	}
}

// TestWindowHoldsFourMebibytes: the last batch may cross the line.
func TestWindowHoldsFourMebibytes(t *testing.T) {
	s := newScript(t)
	u := s.agent(newMemory(many(8, large())...), nil)
	p := s.accept()
	p.welcome(wire.Welcome{Version: 1})
	wantSeqs(t, p.take(wire.ClassBulk, 5, true), 1, 5)
	p.ack(wire.ClassBulk, 7, 1, 2, 3, 4, 5)
	delete(p.readers, wire.ClassBulk) // with nothing on its way the agent closes it, and opens another
	wantSeqs(t, p.take(wire.ClassBulk, 3, true), 6, 8)
	p.ack(wire.ClassBulk, 7, 6, 7, 8)
	eventually(t, u, "the last ack", func(st Status) bool { return st.InFlight == 0 && !st.LastAck.IsZero() })
}

// TestInventoryStaysInOrder: a delta that overtook the whole section it builds on would
// be refused, and what happened between the two forgotten.
func TestInventoryStaysInOrder(t *testing.T) {
	s := newScript(t)
	u := s.agent(newMemory(small(), large(), small(), small()), nil)
	p := s.accept()
	p.welcome(wire.Welcome{Version: 1})
	wantSeqs(t, p.take(wire.ClassBatches, 1, true), 1, 1)
	p.ack(wire.ClassBatches, 7, 1)
	wantSeqs(t, p.take(wire.ClassBulk, 3, true), 2, 4)
	p.ack(wire.ClassBulk, 7, 2, 3, 4)
	eventually(t, u, "the last ack", func(st Status) bool { return st.InFlight == 0 && !st.LastAck.IsZero() })
}

func TestWhatTheCollectorHasIsNotSentAgain(t *testing.T) {
	s := newScript(t)
	m := newMemory(many(9, small())...)
	s.agent(m, nil)
	p := s.accept()
	p.welcome(wire.Welcome{Version: 1, HighSeq: 6})
	wantSeqs(t, p.take(wire.ClassBatches, 3, true), 7, 9)
	m.add(small())
	wantSeqs(t, p.take(wire.ClassBatches, 1, false), 10, 10)
}

// TestOtherVersionIsNamedAndNothingIsLost covers both ways to have no common version:
// an older collector says so, a newer one may also choose what we do not speak.
func TestOtherVersionIsNamedAndNothingIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(p *served)
		text   string
	}{
		"refused": {func(p *served) {
			p.goodbye(wire.Goodbye{Code: wire.CodeVersion, Reason: "update the agent (the agent speaks versions 1 to 1, the collector 2 to 4)", AfterMillis: 60_000})
		}, "update the agent (the agent speaks versions 1 to 1"},
		"chosen":     {func(p *served) { p.welcome(wire.Welcome{Version: wire.Version + 1}) }, "update the agent (the collector chose version 3"},
		"no_version": {func(p *served) { p.welcome(wire.Welcome{}) }, "chose version 0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			m := newMemory(small())
			u := s.agent(m, nil)
			p := s.accept()
			began := time.Now()
			c.answer(p)
			st := eventually(t, u, "the end", func(st Status) bool { return st.Result == VersionRefused.String() })
			m.add(small())
			if m.waiting() != 2 || !strings.Contains(st.LastError, c.text) || strings.Contains(st.LastError, "\n") || st.State != Waiting {
				t.Errorf("%d batches wait, want 2; status %+v, want one line with %q", m.waiting(), st, c.text)
			}
			if wait := st.NextTry.Sub(began); name == "refused" && wait < time.Minute {
				t.Errorf("next try after %v, the collector asked for a minute", wait)
			}
		})
	}
}

func TestGoodbyeEndsTheSessionByItsCode(t *testing.T) {
	s := newScript(t)
	u := s.agent(newMemory(), nil)
	for _, c := range []struct {
		code   wire.Code
		result Result
		text   string
	}{{wire.CodeShutdown, Shutdown, "the collector is going down"}, {wire.CodeStorage, StorageFull, "because"}, {wire.CodeInternal, Overloaded, "because"}} {
		p := s.accept()
		p.welcome(wire.Welcome{Version: 1})
		eventually(t, u, "the session", func(st Status) bool { return st.State == Connected && st.LastError == "" && st.Result == "" })
		p.goodbye(wire.Goodbye{Code: c.code, Reason: "because", AfterMillis: 1})
		st := eventually(t, u, "the end", func(st Status) bool { return st.State == Waiting })
		if st.Result != c.result.String() || st.LastError != c.text || st.InFlight != 0 || st.NextTry.IsZero() {
			t.Errorf("code %d: status %+v, want result %q, %q", c.code, st, c.result, c.text)
		}
	}
	if st := u.Status(); st.Sessions != 3 || st.BytesOut == 0 || st.BytesIn == 0 || st.Packets == 0 {
		t.Errorf("status %+v, want the sum of three sessions", st)
	}
}

func TestSetBackSpoolBeginsANewEpochAtOnce(t *testing.T) {
	s := newScript(t)
	m := newMemory(many(3, small())...)
	s.agent(m, nil)
	s.accept().welcome(wire.Welcome{Version: 1, HighSeq: 4}) // 4 is still to be made
	p := s.accept()
	if p.hello.Epoch != 8 {
		t.Errorf("epoch %d, want 8", p.hello.Epoch)
	}
	p.welcome(wire.Welcome{Version: 1})
}

func TestBatchThatCannotBeEncodedIsDroppedAlone(t *testing.T) {
	s := newScript(t)
	unknown := wire.Batch{Kind: wire.KindMetrics, At: 1, Frames: []metric.Frame{{At: 1, Samples: []metric.Sample{{Series: 5, Value: 1}}}}}
	huge := small()
	huge.Updates = make([]wire.SectionUpdate, wire.MaxUpdates+1)
	m := newMemory(small(), unknown, huge, small())
	u := s.agent(m, nil)
	p := s.accept()
	p.welcome(wire.Welcome{Version: 1})
	if got := p.take(wire.ClassBatches, 2, true); !slices.Equal(got, []uint64{1, 4}) {
		t.Errorf("batches %v, want 1 and 4", got)
	}
	if m.mu.Lock(); !slices.Equal(slices.Sorted(slices.Values(m.dropped)), []uint64{2, 3}) {
		t.Errorf("dropped %v, want 2 and 3", m.dropped)
	}
	m.mu.Unlock()
	if st := u.Status(); st.State != Connected || st.Sessions != 1 {
		t.Errorf("status %+v, want the same session", st)
	}
}

// TestStopDoesNotWaitForACollectorThatDoesNotRead: a write waits for as long as the
// collector slows us down, up to writeTimeout.
func TestStopDoesNotWaitForACollectorThatDoesNotRead(t *testing.T) {
	s := newScript(t)
	dir, _ := s.auth.enrolled()
	u := New(Config{Address: s.ln.Addr().String(), Dir: dir, Spool: newMemory(many(8, large())...), Hello: wire.Hello{Hostname: "h"}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	p := s.accept()
	p.welcome(wire.Welcome{Version: 1})
	p.stream() // of batches
	p.stream() // the bulk stream, of which nothing is read
	last := uint64(0)
	eventually(t, u, "the full stream", func(st Status) bool {
		full := st.BytesOut == last && last > 400<<10
		last = st.BytesOut
		return full
	})
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("the agent goes on for more than 2 s after it was stopped")
		p.conn.CloseWithError(0, "")
		<-done
	}
}
