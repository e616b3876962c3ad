package packages

import (
	"strings"

	"atalaya/shared/facts"
)

// texts makes strings of the bytes of a file that is read in parts, with few
// allocations: strings share large pieces of memory, and equal ones are often the same.
// Rows live together until their database changes, so no piece is kept for one string.
type texts struct {
	piece strings.Builder
	// known holds strings that were asked of same, each in the place of its hash; another
	// with that hash takes the place.
	known [512]string
	rows  []facts.PackageRow // made, not given out yet
	bytes int                // of all strings made
}

const (
	pieceBytes = 16 << 10
	pieceRows  = 64
)

// string returns b as a string.
func (t *texts) string(b []byte) string {
	t.bytes += len(b)
	if len(b) > pieceBytes/4 {
		return string(b)
	}
	if t.piece.Cap()-t.piece.Len() < len(b) {
		t.piece = strings.Builder{} // strings made so far keep the old piece
		t.piece.Grow(pieceBytes)
	}
	at := t.piece.Len()
	t.piece.Write(b) // never fails
	return t.piece.String()[at:]
}

// same is string for values that repeat: architectures, sections, maintainers.
func (t *texts) same(b []byte) string {
	n := len(b)
	if n == 0 {
		return ""
	}
	hash := uint(n)*31 + uint(b[0]) + uint(b[n/2])*7 + uint(b[n/4])*13 + uint(b[n-1])*5
	place := &t.known[hash%uint(len(t.known))]
	if *place != string(b) { // does not allocate
		*place = t.string(b)
	}
	return *place
}

// row returns an empty row.
func (t *texts) row() *facts.PackageRow {
	if len(t.rows) == 0 {
		t.rows = make([]facts.PackageRow, pieceRows)
	}
	row := &t.rows[0]
	t.rows = t.rows[1:]
	return row
}
