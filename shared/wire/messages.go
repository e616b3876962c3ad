package wire

import (
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// In every message the CBOR key of a field is the number in its tag. A field that is
// absent has its zero value; fields with unknown keys are skipped, so that a newer
// peer may add some. Numbers are never reused.

// Version is the newest message set this build speaks, MinVersion the oldest.
const (
	Version    = 2 // what repeats and what comes and goes together travels short, see told.go and metrics.go
	MinVersion = 1
)

// ALPN names of the two protocols on the collector's UDP port.
const (
	ALPN       = "atalaya/1"        // sessions, mutual TLS
	ALPNEnroll = "atalaya-enroll/1" // enrolment and renewal, one request per connection
)

// Class is the first byte of each stream of a session; all streams are opened by the
// agent.
type Class byte

// The classes.
const (
	ClassControl Class = 1 // Hello, Welcome, Heartbeat, Resync, Goodbye
	ClassBatches Class = 2 // metrics and small inventory batches, and their acks
	ClassBulk    Class = 3 // large inventory batches and their acks; comes and goes
)

// Kind says what a batch holds.
type Kind uint8

// The kinds of batches. The numbers are on the wire and in spools.
const (
	KindMetrics   Kind = 1
	KindInventory Kind = 2
)

// Batch is the unit of sending, acknowledgement and duplicate removal, named by
// (host, Epoch, Seq). A batch is of one kind. Whoever builds one keeps it within
// MaxUpdates, MaxLosses, MaxFrames and MaxSamples, and within MaxInflated when
// encoded: AppendBatch and AppendStored refuse it otherwise.
type Batch struct {
	Epoch    uint64 // random, new whenever the sequence starts anew
	Seq      uint64 // from 1
	Kind     Kind
	At       int64  // milliseconds since 1970 UTC, the agent's clock
	Checksum uint32 // end to end, over the content: see Batch.Sum
	Frames   []metric.Frame
	Updates  []SectionUpdate
	Losses   []Loss
}

// SectionUpdate is what one reading says of a section.
type SectionUpdate struct {
	Section facts.ID     `cbor:"1,keyasint,omitempty"`
	Status  facts.Status `cbor:"2,keyasint,omitempty"`
	Reason  string       `cbor:"3,keyasint,omitempty"`
	At      int64        `cbor:"4,keyasint,omitempty"`
	// Digest of the section's rows after this update. With neither Full, Put nor
	// Removed it says: nothing changed. When the receiver comes to another digest
	// it asks for the whole section with Resync.
	Digest  facts.Digest `cbor:"5,keyasint,omitempty"`
	Full    bool         `cbor:"6,keyasint,omitempty"` // Put is the whole section
	Put     [][]byte     `cbor:"7,keyasint,omitempty"` // rows added or changed, each as EncodeRow gives it, sorted by key
	Removed []string     `cbor:"8,keyasint,omitempty"` // keys
}

// Loss tells of batches that the agent's spool dropped before they were acknowledged.
type Loss struct {
	FromSeq uint64 `cbor:"1,keyasint,omitempty"`
	ToSeq   uint64 `cbor:"2,keyasint,omitempty"` // included
	FromAt  int64  `cbor:"3,keyasint,omitempty"`
	ToAt    int64  `cbor:"4,keyasint,omitempty"`
	Kind    Kind   `cbor:"5,keyasint,omitempty"`
	Batches uint64 `cbor:"6,keyasint,omitempty"`
	Reason  string `cbor:"7,keyasint,omitempty"` // "spool full", "too old", "spool damaged"
}

// Hello is the agent's first message on the control stream.
type Hello struct {
	MinVersion     uint   `cbor:"1,keyasint,omitempty"`
	MaxVersion     uint   `cbor:"2,keyasint,omitempty"`
	AgentVersion   string `cbor:"3,keyasint,omitempty"`
	Hostname       string `cbor:"4,keyasint,omitempty"`
	OS             string `cbor:"5,keyasint,omitempty"` // GOOS
	Arch           string `cbor:"6,keyasint,omitempty"` // GOARCH
	MachineID      string `cbor:"7,keyasint,omitempty"` // hash, to notice clones
	Epoch          uint64 `cbor:"8,keyasint,omitempty"`
	NextSeq        uint64 `cbor:"9,keyasint,omitempty"`  // of the next batch to be made
	At             int64  `cbor:"10,keyasint,omitempty"` // the agent's clock
	IntervalMillis int64  `cbor:"11,keyasint,omitempty"` // between metric readings
	// Facts are what the machine may be known by again; none from an agent that knows
	// of none.
	Facts []identity.Fact `cbor:"12,keyasint,omitempty"`
	// Run is random and new whenever the agent starts: two that come by turns are two
	// agents with one key.
	Run uint64 `cbor:"13,keyasint,omitempty"`
}

// Welcome answers Hello.
type Welcome struct {
	Version uint `cbor:"1,keyasint,omitempty"`
	// HighSeq is the highest batch of the epoch that is durable here; 0: none. All
	// up to it need not be sent again. An agent that sees a HighSeq not below its
	// own NextSeq has been set back in time and starts a new epoch.
	HighSeq         uint64 `cbor:"2,keyasint,omitempty"`
	HeartbeatMillis int64  `cbor:"3,keyasint,omitempty"` // the agent sends something at least this often
	At              int64  `cbor:"4,keyasint,omitempty"` // the collector's clock
	// Identity is what the collector concludes of who this host is, for people.
	Identity string `cbor:"5,keyasint,omitempty"`
	// HighSum is the checksum of batch HighSeq; 0: not known. An agent that has another
	// batch of that number was set back in time and has made it anew.
	HighSum uint32 `cbor:"6,keyasint,omitempty"`
}

// Ack tells that batches are durable.
type Ack struct {
	Epoch uint64   `cbor:"1,keyasint,omitempty"`
	Seqs  []uint64 `cbor:"2,keyasint,omitempty"` // ascending
}

// Heartbeat is sent by the agent when nothing else was. The acknowledgement of its
// QUIC packet is answer enough: an echo would nearly double the cost. Its encoding has at least 64 bytes, so that a collector that lost the
// connection answers with a stateless reset (quic-go: none below 43 bytes).
type Heartbeat struct {
	Count uint64 `cbor:"1,keyasint,omitempty"`
	At    int64  `cbor:"2,keyasint,omitempty"`
}

// Resync asks the agent for whole sections.
type Resync struct {
	Sections []facts.ID `cbor:"1,keyasint,omitempty"`
}

// Goodbye closes a session with a reason, from either side.
type Goodbye struct {
	Code   Code   `cbor:"1,keyasint,omitempty"`
	Reason string `cbor:"2,keyasint,omitempty"`
	// After asks the agent to wait before it reconnects, in milliseconds.
	AfterMillis int64 `cbor:"3,keyasint,omitempty"`
}

// Code is the closed list of reasons for which a peer refuses or ends a session.
// It is also the QUIC application error code.
type Code uint64

// The codes.
const (
	CodeNone         Code = 0  // normal end
	CodeVersion      Code = 1  // no common version
	CodeProtocol     Code = 2  // malformed or unexpected message
	CodeTooLarge     Code = 3  // a limit was exceeded
	CodeRevoked      Code = 4  // the host's key is revoked
	CodeUnknownHost  Code = 5  // the certificate names no host known here
	CodeReplaced     Code = 6  // the same host opened a newer session
	CodeShutdown     Code = 7  // going down, come back
	CodeOverload     Code = 8  // come back later
	CodeTokenUnknown Code = 9  // enrolment: no such token
	CodeTokenUsed    Code = 10 // enrolment: used by another key
	CodeTokenExpired Code = 11 // enrolment
	CodeNotEnrolled  Code = 12 // renewal by a key that was never enrolled
	CodeInternal     Code = 13 // the collector could not do it; try again
	CodeStorage      Code = 14 // the collector cannot write (disk full); try again
	CodeTokenRevoked Code = 15 // enrolment: an administrator took the token back
	CodeCopied       Code = 16 // the key is another machine's: this one has a copy
)

// EnrollRequest asks for a certificate: with a token for a first one, without for
// renewal by a known key.
type EnrollRequest struct {
	MinVersion uint            `cbor:"1,keyasint,omitempty"`
	MaxVersion uint            `cbor:"2,keyasint,omitempty"`
	Token      []byte          `cbor:"3,keyasint,omitempty"` // the token's secret; empty to renew
	CSR        []byte          `cbor:"4,keyasint,omitempty"` // PKCS #10, DER, signed by the key that is to be certified
	Hostname   string          `cbor:"5,keyasint,omitempty"`
	Facts      []identity.Fact `cbor:"6,keyasint,omitempty"` // see Hello
}

// EnrollReply carries the certificate or the refusal.
type EnrollReply struct {
	Code        Code     `cbor:"1,keyasint,omitempty"`
	Reason      string   `cbor:"2,keyasint,omitempty"`
	HostID      string   `cbor:"3,keyasint,omitempty"`
	Certificate []byte   `cbor:"4,keyasint,omitempty"` // DER
	CAs         [][]byte `cbor:"5,keyasint,omitempty"` // DER, those to trust from now on
}
