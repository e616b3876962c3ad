package wire

import "fmt"

// AppendHello appends the payload of h.
func AppendHello(dst []byte, h Hello) []byte {
	h.AgentVersion = clean(h.AgentVersion, MaxName)
	h.Hostname = clean(h.Hostname, MaxName)
	h.OS, h.Arch = clean(h.OS, MaxName), clean(h.Arch, MaxName)
	h.MachineID = clean(h.MachineID, MaxName)
	return marshal(dst, h)
}

// DecodeHello is the inverse of AppendHello.
func DecodeHello(payload []byte) (Hello, error) {
	return decode(payload, func(h *Hello) error {
		return within("hello", field{"agent version", len(h.AgentVersion), MaxName}, field{"host name", len(h.Hostname), MaxName},
			field{"system", max(len(h.OS), len(h.Arch)), MaxName}, field{"machine id", len(h.MachineID), MaxName})
	})
}

// AppendWelcome appends the payload of w.
func AppendWelcome(dst []byte, w Welcome) []byte { return marshal(dst, w) }

// DecodeWelcome is the inverse of AppendWelcome.
func DecodeWelcome(payload []byte) (Welcome, error) {
	return decode(payload, func(*Welcome) error { return nil })
}

// AppendAck appends the payload of a, which names at most MaxSeqs batches.
func AppendAck(dst []byte, a Ack) []byte { return marshal(dst, a) }

// DecodeAck is the inverse of AppendAck.
func DecodeAck(payload []byte) (Ack, error) {
	return decode(payload, func(a *Ack) error { return within("ack", field{"batches", len(a.Seqs), MaxSeqs}) })
}

// heartbeatPadding brings the smallest heartbeat to 64 bytes. quic-go answers with a
// stateless reset only to packets of more than 42 bytes, and whole packets are
// larger still: this leaves room for other QUIC implementations.
const heartbeatPadding = 60

type heartbeat struct {
	Heartbeat
	Padding []byte `cbor:"15,keyasint,omitempty"`
}

// AppendHeartbeat appends the payload of h, at least 64 bytes.
func AppendHeartbeat(dst []byte, h Heartbeat) []byte {
	return marshal(dst, heartbeat{Heartbeat: h, Padding: make([]byte, heartbeatPadding)})
}

// DecodeHeartbeat is the inverse of AppendHeartbeat.
func DecodeHeartbeat(payload []byte) (Heartbeat, error) {
	return decode(payload, func(*Heartbeat) error { return nil })
}

// AppendResync appends the payload of r.
func AppendResync(dst []byte, r Resync) []byte { return marshal(dst, r) }

// DecodeResync is the inverse of AppendResync.
func DecodeResync(payload []byte) (Resync, error) {
	return decode(payload, func(r *Resync) error { return within("resync", field{"sections", len(r.Sections), MaxUpdates}) })
}

// AppendGoodbye appends the payload of g.
func AppendGoodbye(dst []byte, g Goodbye) []byte {
	g.Reason = clean(g.Reason, MaxText)
	return marshal(dst, g)
}

// DecodeGoodbye is the inverse of AppendGoodbye.
func DecodeGoodbye(payload []byte) (Goodbye, error) {
	return decode(payload, func(g *Goodbye) error { return within("goodbye", field{"reason", len(g.Reason), MaxText}) })
}

// AppendEnrollRequest appends the payload of r.
func AppendEnrollRequest(dst []byte, r EnrollRequest) []byte {
	r.Hostname = clean(r.Hostname, MaxName)
	return marshal(dst, r)
}

// DecodeEnrollRequest is the inverse of AppendEnrollRequest.
func DecodeEnrollRequest(payload []byte) (EnrollRequest, error) {
	return decode(payload, func(r *EnrollRequest) error {
		return within("enrolment request", field{"token", len(r.Token), MaxToken}, field{"certificate request", len(r.CSR), MaxCSR},
			field{"host name", len(r.Hostname), MaxName})
	})
}

// AppendEnrollReply appends the payload of r.
func AppendEnrollReply(dst []byte, r EnrollReply) []byte {
	r.Reason = clean(r.Reason, MaxText)
	return marshal(dst, r)
}

// DecodeEnrollReply is the inverse of AppendEnrollReply.
func DecodeEnrollReply(payload []byte) (EnrollReply, error) {
	return decode(payload, func(r *EnrollReply) error {
		longest := 0
		for _, ca := range r.CAs {
			longest = max(longest, len(ca))
		}
		return within("enrolment reply", field{"reason", len(r.Reason), MaxText}, field{"host id", len(r.HostID), MaxName},
			field{"certificate", max(len(r.Certificate), longest), MaxCSR}, field{"CAs", len(r.CAs), MaxCAs})
	})
}

// decode reads a control message and checks its lengths.
func decode[M any](payload []byte, check func(*M) error) (M, error) {
	var m, none M
	if len(payload) > MaxControl {
		return none, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(payload), MaxControl)
	}
	if err := unmarshal(payload, &m); err != nil {
		return none, err
	}
	if err := check(&m); err != nil {
		return none, err
	}
	return m, nil
}
