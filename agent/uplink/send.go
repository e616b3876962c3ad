package uplink

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

const (
	// The window: what may be on its way and not acknowledged.
	maxInFlight      = 64
	maxInFlightBytes = 4 << 20
	// bulkFrom is the size, before it is compressed, from which an inventory batch goes by
	// the bulk stream, so that metrics need not wait behind it. Inventory stays in order all the same: each
	// batch says what became different since the one before.
	bulkFrom = 64 << 10
	// writeTimeout is for a message that the collector does not take, because it slows
	// us down or hangs.
	writeTimeout = 60 * time.Second
)

// fill sends batches until there are none or the window is full.
func (s *session) fill() error {
	before := len(s.flight)
	err := s.sendBatches()
	if len(s.flight) != before {
		s.u.update(func(st *Status) { st.InFlight = len(s.flight) })
	}
	return err
}

// sendBatches sends inventory first: a collector that cannot write metrics takes it all
// the same, and never gets to what stands behind a window of metrics.
func (s *session) sendBatches() error {
	for len(s.flight) < maxInFlight && s.flightBytes < maxInFlightBytes {
		b, err := s.next()
		if err != nil {
			return s.spoolError(err)
		}
		if b == nil {
			return nil
		}
		if held, err := s.sendBatch(b); err != nil || held {
			return err
		}
		if b.Kind == wire.KindInventory {
			s.ahead = b.Seq
		} else {
			s.high = b.Seq
		}
	}
	return nil
}

// next returns the batch to be sent next, nil when there is none.
func (s *session) next() (*wire.Batch, error) {
	b, behind, err := s.u.cfg.Spool.NextInventory(s.epoch, max(s.looked, s.ahead))
	if b == nil {
		s.looked = behind
	}
	for err == nil && b == nil {
		b, err = s.u.cfg.Spool.Next(s.epoch, s.high)
		if err != nil || b == nil || b.Kind != wire.KindInventory || b.Seq > s.ahead {
			break
		}
		s.high, b = b.Seq, nil // it is on its way
	}
	return b, err
}

// spoolError ends the session: when the spool has begun a new epoch the next session
// begins at once, if this was not the second time in a row.
func (s *session) spoolError(err error) error {
	if epoch, _ := s.u.cfg.Spool.Position(); epoch != s.epoch {
		return endf(SetBack, "the spool has begun a new epoch")
	}
	return &End{Result: Failed, Err: fmt.Errorf("read spool: %w", err)}
}

// sendBatch sends a batch, or gives it up when it can never be sent. One that must not
// overtake others is held until those are acknowledged.
func (s *session) sendBatch(b *wire.Batch) (held bool, err error) {
	inventory := b.Kind == wire.KindInventory
	bulk := inventory && (s.bulk != nil || b.Rows() >= bulkFrom)
	if bulk && s.bulk == nil && slices.ContainsFunc(s.flight, func(f sent) bool { return f.inventory }) {
		return true, nil
	}
	stream, encoder := s.batches, s.encoder
	if bulk {
		if stream, err = s.bulkStream(); err != nil {
			return false, err
		}
		encoder = nil // what it knows is of the other stream
	}
	message, err := s.encode(b, encoder)
	if err != nil {
		return false, s.giveUp(b, err)
	}
	if err := s.writeMessage(stream, message); err != nil {
		return false, err
	}
	s.flight = append(s.flight, sent{seq: b.Seq, bytes: len(message), bulk: bulk, inventory: inventory})
	s.flightBytes += len(message)
	return false, nil
}

// giveUp drops a batch that can never be sent.
func (s *session) giveUp(b *wire.Batch, err error) error {
	s.u.cfg.Log.Error("batch cannot be sent and is given up", "seq", b.Seq, "err", err)
	if err := s.u.cfg.Spool.Drop(s.epoch, b.Seq, "not sendable"); err != nil {
		return &End{Result: Failed, Err: fmt.Errorf("give up a batch: %w", err)}
	}
	if len(b.Frames) > 0 && errors.Is(err, wire.ErrTooLarge) {
		// The encoder has noted values that the collector will never have.
		return endf(Failed, "a batch of metrics was too large to be sent: the next session begins without it")
	}
	return nil
}

// encode returns the batch as it travels. See wire.AppendBatch for what an error leaves
// of the encoder.
func (s *session) encode(b *wire.Batch, encoder *wire.MetricEncoder) ([]byte, error) {
	if b.Kind == wire.KindMetrics {
		encoder.SetSeries(s.u.cfg.Spool.Series())
	}
	payload, err := wire.AppendBatch(nil, b, encoder)
	if err != nil {
		return nil, err
	}
	message := wire.AppendMessage(nil, wire.TypeBatch, payload)
	if len(message) > wire.MaxBatch {
		return nil, fmt.Errorf("%w: %d bytes as they travel", wire.ErrTooLarge, len(message))
	}
	return message, nil
}

// bulkStream returns the stream for large batches; it is open while one is on its way.
func (s *session) bulkStream() (*quic.Stream, error) {
	if s.bulk != nil {
		return s.bulk, nil
	}
	stream, err := s.openStream(wire.ClassBulk)
	if err != nil {
		return nil, err
	}
	s.bulk = stream
	s.readers.Go(func() { s.readBulk(wire.NewReader(stream, wire.ControlLimits())) })
	return stream, nil
}

// readBulk is read for a stream whose end is no event.
func (s *session) readBulk(r *wire.Reader) {
	for {
		e := readEvent(r)
		if errors.Is(e.err, io.EOF) {
			return
		}
		select {
		case s.events <- e:
		case <-s.conn.Context().Done():
			return
		}
		if e.err != nil {
			return
		}
	}
}

func (s *session) write(stream *quic.Stream, t wire.Type, payload []byte) error {
	return s.writeMessage(stream, wire.AppendMessage(nil, t, payload))
}

func (s *session) writeMessage(stream *quic.Stream, message []byte) error {
	now := time.Now()
	if err := stream.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	if s.asked.IsZero() {
		s.asked, s.packets = now, s.conn.ConnectionStats().PacketsReceived
	}
	s.lastSend = now
	_, err := stream.Write(message)
	return err
}

// acked takes an Ack. Numbers that are not in flight say nothing: the spool keeps what
// was not sent.
func (s *session) acked(a wire.Ack) error {
	if a.Epoch != s.epoch {
		return nil
	}
	var seqs []uint64
	bulk := 0
	s.flight = slices.DeleteFunc(s.flight, func(f sent) bool {
		if _, found := slices.BinarySearch(a.Seqs, f.seq); found {
			seqs = append(seqs, f.seq)
			s.flightBytes -= f.bytes
			return true
		}
		if f.bulk {
			bulk++
		}
		return false
	})
	if err := s.u.cfg.Spool.Ack(a.Epoch, seqs); err != nil {
		s.u.cfg.Log.Warn("spool", "err", err)
	}
	now, rtt := s.u.cfg.Now(), s.conn.ConnectionStats().SmoothedRTT
	s.u.update(func(st *Status) { st.LastAck, st.InFlight, st.RTT = now, len(s.flight), rtt })
	if bulk == 0 && s.bulk != nil {
		err := s.bulk.Close()
		s.bulk = nil
		return err
	}
	return nil
}
