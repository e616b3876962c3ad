package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// A stream waits for its next message nearly all of its life, and ten thousand agents
// have twenty thousand of them. What a waiting goroutine has on its stack decides
// whether that stack is shrunk to 4 KiB or stays at 8 (the garbage collector halves a
// stack of which less than a quarter is in use): so serveStream itself waits, and
// what reads and decodes has returned by then.

// serveStream handles one stream; a fault in it ends this stream alone.
func (se *session) serveStream(stream *quic.Stream) {
	defer se.recoverStream(stream)
	in := &inbound{stream: stream}
	handle, err := se.begin(in)
	for err == nil {
		if err = in.wait(); err == nil {
			err = handle()
		}
	}
	se.endStream(stream, err)
}

func (se *session) recoverStream(stream *quic.Stream) {
	if r := recover(); r != nil {
		se.server.counters.panics.Add(1)
		se.server.cfg.Log.Error("stream failed", "host", se.host.String(), "panic", fmt.Sprint(r))
		se.breakStream(stream, &Refusal{Code: wire.CodeInternal, Reason: "the collector failed to handle a message"})
	}
}

// endStream ends a stream that has come to its end, or whose peer broke the rules.
func (se *session) endStream(stream *quic.Stream, err error) {
	switch {
	case errors.Is(err, io.EOF):
		stream.Close()
	case se.conn.Context().Err() != nil, errors.Is(err, net.ErrClosed): // streams learn of the connection's end before its context
	case isTimeout(err):
		se.breakStream(stream, &Refusal{Code: wire.CodeProtocol, Reason: "a message did not come to its end"})
	case isCancelled(err):
		stream.CancelWrite(quic.StreamErrorCode(wire.CodeNone))
	default:
		se.breakStream(stream, se.server.refusalOf(err, se.host))
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func isCancelled(err error) bool {
	var e *quic.StreamError
	return errors.As(err, &e) && e.Remote
}

// breakStream ends a stream whose peer broke the rules, and the session when that
// happens often. What cannot go on without the stream (the Hello) ends at once.
func (se *session) breakStream(stream *quic.Stream, r *Refusal) {
	if r.Err == nil { // otherwise refusalOf has logged it
		se.server.cfg.Log.Warn("stream refused", "host", se.host.String(), "code", uint64(r.Code), "reason", r.Reason)
	}
	select {
	case <-se.ready:
	default:
		se.goodbye(r)
		return
	}
	se.server.counters.refused(r.Code)
	stream.CancelRead(quic.StreamErrorCode(r.Code))
	stream.CancelWrite(quic.StreamErrorCode(r.Code))
	if se.faults.Add(1) >= maxStreamFaults {
		se.goodbye(&Refusal{Code: wire.CodeProtocol, Reason: "too many broken streams"})
	}
}

// maxHead is the most that precedes a payload: two uvarints.
const maxHead = 2 * binary.MaxVarintLen64

// inbound is what comes on a stream. Waiting for a message may take for ever, but not
// waiting for the rest of one that has begun.
type inbound struct {
	stream *quic.Stream
	given  int // of the present message to its reader, while that is below maxHead

	ahead    [32]byte // read and not given: ahead[from:to]
	from, to uint8
}

// wait waits for the first byte of the next message.
func (in *inbound) wait() error {
	in.given = 0
	if in.from < in.to {
		return nil
	}
	if err := in.stream.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return in.fill()
}

func (in *inbound) fill() error {
	n, err := in.stream.Read(in.ahead[:])
	in.from, in.to = 0, uint8(n)
	if n > 0 {
		return nil // an error comes again with the next Read
	}
	return err
}

// Read gives a message to the reader: its head byte by byte, so that the reader never
// has the beginning of the next message, which wait would not see.
func (in *inbound) Read(p []byte) (int, error) {
	if in.from == in.to {
		if err := in.stream.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
			return 0, err
		}
		if in.given >= maxHead {
			return in.stream.Read(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	if in.given < maxHead {
		p = p[:min(1, len(p))]
	}
	n := copy(p, in.ahead[in.from:in.to])
	in.from += uint8(n)
	in.given += n
	return n, nil
}

// reader reads single messages, of one stream after the other, so that those which
// wait hold no buffer. It is of no more use after an error.
type reader struct {
	*wire.Reader
	source *inbound
}

func newReader(limits wire.Limits) func() any {
	return func() any {
		r := new(reader)
		r.Reader = wire.NewReader(r, limits)
		return r
	}
}

// Read implements io.Reader for what is embedded.
func (r *reader) Read(p []byte) (int, error) { return r.source.Read(p) }

// message reads the message that has begun and hands it to use, with a payload that
// is valid until use returns.
func (in *inbound) message(readers *sync.Pool, use func(wire.Type, []byte) error) error {
	r := readers.Get().(*reader)
	r.source = in
	t, payload, err := r.Next()
	if err != nil {
		return err
	}
	err = use(t, payload)
	r.source = nil
	readers.Put(r)
	return err
}

// handler deals with the message that has begun.
type handler func() error

// begin reads the class of the stream and returns the handler of its messages.
func (se *session) begin(in *inbound) (handler, error) {
	if err := in.stream.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, err
	}
	var class [1]byte
	if _, err := io.ReadFull(in.stream, class[:]); err != nil {
		return nil, err
	}
	switch wire.Class(class[0]) {
	case wire.ClassControl:
		return se.beginControl(in)
	case wire.ClassBatches, wire.ClassBulk:
		return se.beginBatches(in)
	}
	return nil, fmt.Errorf("%w: unknown class of stream %d", wire.ErrMalformed, class[0])
}

// beginControl takes the Hello.
func (se *session) beginControl(in *inbound) (handler, error) {
	if !se.control.CompareAndSwap(nil, in.stream) {
		return nil, fmt.Errorf("%w: a second control stream", wire.ErrMalformed)
	}
	readers := &se.server.controlReaders
	return func() error { return in.message(readers, se.takeControl) }, in.message(readers, se.greet)
}

// takeControl takes what comes after the Hello: heartbeats, and a Goodbye.
func (se *session) takeControl(t wire.Type, payload []byte) error {
	switch t {
	case wire.TypeHeartbeat:
		// The acknowledgement of the packet is the answer.
		if _, err := wire.DecodeHeartbeat(payload); err != nil {
			return err
		}
		se.server.cfg.Sink.Seen(se.host, se.server.cfg.Now())
		return nil
	case wire.TypeGoodbye:
		if _, err := wire.DecodeGoodbye(payload); err != nil {
			return err
		}
		se.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "")
		return io.EOF
	}
	return fmt.Errorf("%w: %s on the control stream", wire.ErrMalformed, t)
}

// beginBatches waits for the Hello, which comes on another stream.
func (se *session) beginBatches(in *inbound) (handler, error) {
	select {
	case <-se.ready:
	case <-se.conn.Context().Done():
		return nil, io.EOF
	}
	decoder := wire.NewMetricDecoder(se.define)
	take := func(t wire.Type, payload []byte) error { return se.takeBatch(in.stream, decoder, t, payload) }
	return func() error { return in.message(&se.server.batchReaders, take) }, nil
}

func (se *session) define(number uint32, series metric.Series) {
	if err := se.metrics.Define(number, series); err != nil {
		se.server.cfg.Log.Debug("series refused", "host", se.host.String(), "series", series.Name, "err", err)
	}
}
