package store

import (
	"errors"
	"fmt"
	"runtime/debug"

	"atalaya/shared/identity"
)

// What callers branch on.
var (
	// ErrCorrupt: a stored value, or the structure around it, is damaged. Retrying does not help.
	ErrCorrupt = errors.New("state is damaged")
	// ErrFull: no space is left; the transaction was not written. Retrying helps when there is space.
	ErrFull = errors.New("no space left on the disk")
	// ErrLocked: another process holds the file.
	ErrLocked = errors.New("state is in use")
	// ErrNewer: a newer collector wrote the file.
	ErrNewer = errors.New("state was written by a newer collector")
	// ErrUnknownHost: the host was never enrolled here, or was removed.
	ErrUnknownHost = errors.New("unknown host")
	// ErrMalformed: a batch contradicts itself; sending it again does not help.
	ErrMalformed = errors.New("malformed batch")
	// ErrReused: a batch number came back with other content. The host was set back to
	// an earlier state, or two machines share its key.
	ErrReused = errors.New("batch number reused with other content")
	// ErrStop ends a scan early; the scan returns nil.
	ErrStop = errors.New("stop scanning")
)

// CorruptError names the damaged value.
type CorruptError struct {
	Table  string
	Key    []byte
	Detail string
	lost   bool // an item that Repair threw away

	// Findings are all that is damaged of a file, a line for each table, worst first.
	Findings []string
}

// Lines are the findings, for people: Error is one line.
func (e *CorruptError) Lines() []string { return e.Findings }

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Table == "" {
		return "state is damaged: " + e.Detail
	}
	return fmt.Sprintf("state is damaged: table %q, key %x: %s", e.Table, e.Key, e.Detail)
}

// lost reports whether an error says that healing noted an item as lost.
func lost(err error) bool {
	var damage *CorruptError
	return errors.As(err, &damage) && damage.lost
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// ReusedError tells which batch number came back with other content.
type ReusedError struct {
	Host       identity.HostID
	Epoch, Seq uint64
}

// Error implements error.
func (e *ReusedError) Error() string {
	return fmt.Sprintf("host %s sent batch %d again with other content: it was set back to an earlier state, or two machines share its key", e.Host, e.Seq)
}

// Is makes errors.Is(err, ErrReused) true.
func (e *ReusedError) Is(target error) bool { return target == ErrReused }

// guard turns a fault in the mapped file, and the panics with which bbolt answers a
// damaged page, into ErrCorrupt. Use as `defer guard(faults(), &err, table, key)` around
// calls to bbolt only, so that no other bug is hidden. It makes no closure: a host's
// greeting, or its line in a list, is some ten calls.
func guard(before bool, err *error, table string, key []byte) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = &CorruptError{Table: table, Key: append([]byte(nil), key...), Detail: fmt.Sprint(p)}
	}
}

// faults has this goroutine panic over a fault, and returns whether it did so before.
func faults() (before bool) { return debug.SetPanicOnFault(true) }
