package wire

import (
	"fmt"

	"atalaya/shared/identity"
)

// AppendHello appends the payload of h.
func AppendHello(dst []byte, h Hello) []byte {
	h.AgentVersion = clean(h.AgentVersion, MaxName)
	h.Hostname = clean(h.Hostname, MaxName)
	h.OS, h.Arch = clean(h.OS, MaxName), clean(h.Arch, MaxName)
	h.MachineID, h.Facts = clean(h.MachineID, MaxName), cleanFacts(h.Facts)
	return marshal(dst, h)
}

// DecodeHello is the inverse of AppendHello.
func DecodeHello(payload []byte) (Hello, error) {
	return decode(payload, func(h *Hello) error {
		return within("hello", field{"agent version", len(h.AgentVersion), MaxName}, field{"host name", len(h.Hostname), MaxName},
			field{"system", max(len(h.OS), len(h.Arch)), MaxName}, field{"machine id", len(h.MachineID), MaxName},
			field{"facts", len(h.Facts), MaxFacts}, field{"fact", longestFact(h.Facts), MaxName})
	})
}

// AppendWelcome appends the payload of w.
func AppendWelcome(dst []byte, w Welcome) []byte {
	w.Identity = clean(w.Identity, MaxText)
	return marshal(dst, w)
}

// DecodeWelcome is the inverse of AppendWelcome.
func DecodeWelcome(payload []byte) (Welcome, error) {
	return decode(payload, func(w *Welcome) error { return within("welcome", field{"identity", len(w.Identity), MaxText}) })
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
	r.Hostname, r.Facts = clean(r.Hostname, MaxName), cleanFacts(r.Facts)
	return marshal(dst, r)
}

// DecodeEnrollRequest is the inverse of AppendEnrollRequest.
func DecodeEnrollRequest(payload []byte) (EnrollRequest, error) {
	return decode(payload, func(r *EnrollRequest) error {
		return within("enrolment request", field{"token", len(r.Token), MaxToken}, field{"certificate request", len(r.CSR), MaxCSR},
			field{"host name", len(r.Hostname), MaxName}, field{"facts", len(r.Facts), MaxFacts}, field{"fact", longestFact(r.Facts), MaxName})
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

// cleanFacts brings the facts of a machine within the limits.
func cleanFacts(facts []identity.Fact) []identity.Fact {
	var out []identity.Fact
	for _, f := range facts[:min(len(facts), MaxFacts)] {
		out = append(out, identity.Fact{Kind: f.Kind, Value: clean(f.Value, MaxName)})
	}
	return out
}

func longestFact(facts []identity.Fact) (n int) {
	for _, f := range facts {
		n = max(n, len(f.Value))
	}
	return n
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
