package ingest

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

// session opens a session with as many streams as there may be, and returns the first.
func (p *peer) session() *quic.Stream {
	p.r.t.Helper()
	first := p.open(control(), hello(1, 1))
	if t, _, err := wire.NewReader(first, wire.ControlLimits()).Next(); err != nil || t != wire.TypeWelcome {
		p.r.t.Fatalf("%v, %v; want Welcome", t, err)
	}
	for seq := range uint64(maxStreams - 1) {
		stream := p.open(batches(), batch(seq+1))
		if t, _, err := wire.NewReader(stream, wire.ControlLimits()).Next(); err != nil || t != wire.TypeAck {
			p.r.t.Fatalf("%v, %v; want Ack", t, err)
		}
	}
	return first
}

// TestReplacedSessionIsNoFault restarts an agent again and again without a farewell.
func TestReplacedSessionIsNoFault(t *testing.T) {
	log := &logBuffer{}
	r := newRig(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
	conf, host := r.hostTLS(wire.ALPN)
	for range cloneSwaps { // one more would make a clone of it
		conn, err := r.dial(conf)
		if err != nil {
			t.Fatal(err)
		}
		(&peer{r: r, conn: conn, host: host}).session()
	}
	eventually(t, "the end of the replaced sessions", func() bool { return r.server.Stats().Connected == 1 })
	st := r.server.Stats()
	if want := fmt.Sprint(map[wire.Code]uint64{wire.CodeReplaced: cloneSwaps - 1}); fmt.Sprint(st.Refused) != want || log.String() != "" {
		t.Errorf("refused %v, want %s; log %q, want none", st.Refused, want, log)
	}
}

// TestShutdownIsNoFault has one agent that leaves when it is told and one that stays.
func TestShutdownIsNoFault(t *testing.T) {
	log := &logBuffer{}
	r := newRig(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
	r.peer().session()
	leaver := r.peer()
	control := leaver.session()
	r.server.shutdown()
	if typ, _, err := wire.NewReader(control, wire.ControlLimits()).Next(); err != nil || typ != wire.TypeGoodbye {
		t.Errorf("%v, %v; want Goodbye", typ, err)
	}
	leaver.conn.CloseWithError(0, "")
	eventually(t, "the end of the sessions", func() bool { return r.server.Stats().Connected == 0 })
	st := r.server.Stats()
	if want := fmt.Sprint(map[wire.Code]uint64{wire.CodeShutdown: 2}); fmt.Sprint(st.Refused) != want || log.String() != "" {
		t.Errorf("refused %v, want %s; log %q, want none", st.Refused, want, log)
	}
}
