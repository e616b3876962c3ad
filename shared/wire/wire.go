// Package wire is the only place that knows encoded forms: messages between agent
// and collector, framing, metric frames, limits and versions.
//
// Messages are CBOR (RFC 8949, core deterministic, integer keys) in frames of
// type, length and payload; large payloads are zstd. Metric frames have their own
// compact form relative to the connection. Layouts are drawn in docs/protocol.md.
// Encoders append to a buffer; decoders check every length and limit before they
// allocate, and return errors, never panic, whatever the input.
package wire

import "errors"

// The kinds of refusal that callers tell apart: they become CodeTooLarge and
// CodeProtocol when a session ends.
var (
	// ErrTooLarge: a limit on size, ratio, count, depth or length is exceeded.
	ErrTooLarge = errors.New("message exceeds a limit")
	// ErrMalformed: the bytes are not what docs/protocol.md describes.
	ErrMalformed = errors.New("malformed message")
)

// Limits of what decoders accept. Encoders cut text to them; whoever builds
// batches keeps within the others (see Batch).
const (
	MaxControl  = 64 << 10 // bytes of a control message, inflated or not
	MaxBatch    = 1 << 20  // bytes of a batch as it travels
	MaxInflated = 16 << 20 // bytes of a batch after inflation
	MaxRatio    = 200      // inflated to compressed; software inventory reaches 20

	MaxRow     = 64 << 10 // bytes of one row
	MaxKey     = 4 << 10  // bytes of the key of one row
	MaxText    = 1 << 10  // bytes of a reason
	MaxName    = 256      // bytes of a host name or version; RFC 1035 ends names at 255
	MaxUpdates = 256      // sections in one batch
	MaxLosses  = 256      // loss ranges in one batch
	MaxSeqs    = 1024     // batches in one Ack; the window is 64
	MaxCSR     = 8 << 10  // bytes of a certificate request or certificate; P-256 needs 300 to 700
	MaxCAs     = 8        // certificates to trust
	MaxFacts   = 64       // by which a machine is known again
	MaxToken   = 64       // bytes of a token's secret; it has 20

	MaxSeries  = 1 << 16 // series of one agent; numbers are below it
	MaxFrames  = 1 << 12 // metric frames in one batch
	MaxSamples = 1 << 19 // samples in one batch; 8 MiB of memory
	MaxLabels  = 32      // labels of one series
	MaxLabel   = 1 << 10 // bytes of a series name, label name or label value

	maxItems = 1 << 19 // CBOR data items in one message: 12 MiB of slice headers at worst
	maxDepth = 16      // nested CBOR arrays and maps; messages need 4
)
