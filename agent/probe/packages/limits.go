package packages

import (
	"context"
	"fmt"
)

// A database may be the work of whoever is root in a container: what is made of it has limits
// while it is read, not only when it is reported.
const (
	// maxRows bounds one database, and all containers together: what a section takes. All of
	// Debian has 60,000 packages, a large host 5,000.
	maxRows = 50_000
	// maxTexts bounds the names and paths that are kept of one database, in bytes. A large
	// host has 1 MB.
	maxTexts = 16 << 20
	// maxBad is after how many records that cannot be read a database is given up.
	maxBad = 10_000
	// askEvery is after how many records a reader asks whether its time is over.
	askEvery = 1024
)

// limits watch over the reading of one database.
type limits struct {
	records int
	bad     int // of them
}

// reached is asked before each record, and says why it is not to be read.
func (l *limits) reached(ctx context.Context, got *found, t *texts) error {
	l.records++
	switch {
	case len(got.rows) >= maxRows:
		return fmt.Errorf("more than %d packages", maxRows)
	case got.bytes+t.bytes > maxTexts:
		return fmt.Errorf("names and paths of more than %d bytes", maxTexts)
	case l.bad > maxBad:
		return fmt.Errorf("more than %d records cannot be read", maxBad)
	case l.records%askEvery == 0:
		return ctx.Err()
	}
	return nil
}
