package ingest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex // guards the buffer
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// damaged is a sink whose records of one host are damaged.
type damaged struct {
	stores
	host atomic.Pointer[identity.HostID]
	late bool // found with the first batch, not with the Hello
}

var errDamage = errors.New("table marks: checksum does not match")

func (d *damaged) Greet(g Greeting) (Welcome, error) {
	if !d.late && g.Host == *d.host.Load() {
		return Welcome{}, Damaged(errDamage)
	}
	return Welcome{}, nil
}

func (d *damaged) Apply(ctx context.Context, ds []Delivery) ([]Outcome, error) {
	out, err := d.stores.Apply(ctx, ds)
	for i := range out {
		if ds[i].Host == *d.host.Load() {
			out[i].Failed = errDamage
		}
	}
	return out, err
}

// next reads the next message of a stream.
func next(t *testing.T, r *wire.Reader) (wire.Type, []byte) {
	t.Helper()
	typ, payload, err := r.Next()
	if err != nil {
		t.Fatalf("%v, want a message", err)
	}
	return typ, bytes.Clone(payload)
}

func wantDamaged(t *testing.T, typ wire.Type, payload []byte) {
	t.Helper()
	g, err := wire.DecodeGoodbye(payload)
	if err != nil || typ != wire.TypeGoodbye || g.Code != wire.CodeStorage || !strings.Contains(g.Reason, "records of this host are damaged") || g.AfterMillis == 0 {
		t.Errorf("%v %+v, %v; want a Goodbye with code %d that names the damage", typ, g, err, wire.CodeStorage)
	}
}

// TestBatchOfADamagedHostIsNotAcknowledged: an acknowledged batch is gone from the
// agent's spool for good.
func TestBatchOfADamagedHostIsNotAcknowledged(t *testing.T) {
	sink, log := &damaged{late: true}, &logBuffer{}
	sink.hold = make(chan struct{})
	r := newRig(t, func(c *Config) { c.Sink, c.Log = sink, slog.New(slog.NewTextHandler(log, nil)) })
	sick, sickControl := r.greeted()
	sink.host.Store(&sick.host)
	well, _ := r.greeted()
	sickBatches := sick.open(batches(), batch(1), batch(2))
	wellBatches := well.open(batches(), batch(1))
	close(sink.hold)
	if typ, _ := next(t, wire.NewReader(wellBatches, wire.ControlLimits())); typ != wire.TypeAck {
		t.Errorf("the other host got %v, want Ack", typ)
	}
	typ, payload := next(t, wire.NewReader(sickControl, wire.ControlLimits()))
	wantDamaged(t, typ, payload)
	if typ, _, err := wire.NewReader(sickBatches, wire.ControlLimits()).Next(); err == nil {
		t.Errorf("%v on the stream of batches, want none", typ)
	}
	if code := connCode(t, sick.conn); code != wire.CodeStorage {
		t.Errorf("code %d, want %d", code, wire.CodeStorage)
	}
	if n := strings.Count(log.String(), "level="); n != 1 || !strings.Contains(log.String(), errDamage.Error()) || !strings.Contains(log.String(), sick.host.String()) {
		t.Errorf("log %q, want one line with host and damage", log)
	}
	if st := r.server.Stats(); st.Batches != 1 || st.Rejected != 0 {
		t.Errorf("%d batches, %d rejected; want 1 and 0", st.Batches, st.Rejected)
	}
}

func TestDamagedHostIsToldSoAtItsHello(t *testing.T) {
	sink, log := &damaged{}, &logBuffer{}
	r := newRig(t, func(c *Config) { c.Sink, c.Log = sink, slog.New(slog.NewTextHandler(log, nil)) })
	p := r.peer()
	sink.host.Store(&p.host)
	typ, payload := next(t, wire.NewReader(p.open(control(), hello(1, 1)), wire.ControlLimits()))
	wantDamaged(t, typ, payload)
	if n := strings.Count(log.String(), "level="); n != 1 || !strings.Contains(log.String(), errDamage.Error()) || !strings.Contains(log.String(), p.host.String()) {
		t.Errorf("log %q, want one line with host and damage", log)
	}
}

func TestGroupsGatherUnlessTheyAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		took := func(wait time.Duration) time.Duration {
			begin := time.Now()
			s.gather(t.Context(), wait)
			return time.Since(begin)
		}
		if got := took(-time.Second); got != 0 {
			t.Errorf("after a pause a batch waited %v", got)
		}
		if got := took(33 * time.Millisecond); got != 33*time.Millisecond {
			t.Errorf("33 ms after a commit the next waited %v", got)
		}
		go func() {
			time.Sleep(15 * time.Millisecond)
			for range maxGroup - 1 {
				s.queue <- &pending{}
			}
		}()
		if got := took(gatherTime); got != gatherLook {
			t.Errorf("a whole group waited %v", got)
		}
	})
}
