// Package wire is the only place that knows encoded forms: messages between agent
// and collector, framing, metric frames, limits and versions.
//
// Messages are CBOR (RFC 8949, core deterministic, integer keys) in frames of
// type, length and payload; large payloads are zstd. Metric frames have their own
// compact form relative to the connection. Layouts are drawn in docs/protocol.md.
// Encoders append to a buffer; decoders check every length and limit before they
// allocate, and return errors, never panic, whatever the input.
package wire
