// Package identity is what agent and collector agree on about who a host is: host
// numbers, keys, certificates and enrolment tokens.
package identity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// HostID is the number that the collector gives a host at enrolment and that the
// host's certificate carries. It says nothing about the machine.
type HostID [8]byte

// NewHostID returns a random number.
func NewHostID() HostID {
	var id HostID
	rand.Read(id[:]) // never fails, see crypto/rand
	return id
}

// String returns 16 hexadecimal digits.
func (id HostID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText makes host numbers strings in JSON.
func (id HostID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *HostID) UnmarshalText(b []byte) error {
	v, err := ParseHostID(string(b))
	*id = v
	return err
}

// ParseHostID is the inverse of String.
func ParseHostID(s string) (HostID, error) {
	var id HostID
	if len(s) != hex.EncodedLen(len(id)) {
		return id, fmt.Errorf("host id %q: want %d hexadecimal digits", s, hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return id, fmt.Errorf("host id %q: %w", s, err)
	}
	return id, nil
}
