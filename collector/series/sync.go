package series

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// Sync makes every sample durable whose Commit returned before the call. The engine
// itself only hands its log to the operating system at commit, which survives the
// end of the process but not of the machine.
//
// Two logs are synced: wal with all samples, and wbl with the late ones, which a
// replay takes from there.
func (d *DB) Sync() error {
	if err := d.use(func(*tsdb.DB) error { return nil }); err != nil {
		return fmt.Errorf("sync samples: %w", err)
	}
	d.syncMu.Lock()
	defer d.syncMu.Unlock()
	err := errors.Join(d.wal.sync(), d.wbl.sync())
	if d.wblLost.grew() {
		// In memory they are known: sent again they would count as stored, and are in no log.
		d.broken.Store(true)
		err = errors.Join(err, errLateLost)
	}
	d.noteWrite(err, true)
	if err != nil {
		return fmt.Errorf("sync samples: %w", err)
	}
	return nil
}

// logFiles knows how far a folder of numbered log segments is synced.
type logFiles struct {
	dir     string
	segment int   // newest segment that was synced; -1: none
	size    int64 // its size then
}

// start makes the segments that exist count as synced: they belong to an earlier
// process, which acknowledged nothing that it had not synced. The engine starts a
// new one.
func (f *logFiles) start() error {
	_, last, err := wlog.Segments(f.dir)
	if errors.Is(err, os.ErrNotExist) {
		last, err = -1, nil
	}
	f.segment, f.size = last, -1
	return err
}

// sync syncs each segment that was written since the last call, and the folder when
// there is a new one. A log that did not grow costs no sync.
func (f *logFiles) sync() error {
	first, last, err := wlog.Segments(f.dir)
	if err != nil {
		return err
	}
	if last < 0 {
		return nil
	}
	from, size := f.segment, f.size
	for n := max(first, from); n <= last; n++ {
		if n == from {
			size, err = syncFile(wlog.SegmentName(f.dir, n), f.size)
		} else {
			size, err = syncFile(wlog.SegmentName(f.dir, n), -1)
		}
		if n < last && errors.Is(err, os.ErrNotExist) {
			continue // dropped meanwhile: its samples are in a block
		}
		if err != nil {
			return err
		}
	}
	if last > from {
		if err := syncDir(f.dir); err != nil {
			return err
		}
	}
	f.segment, f.size = last, size
	return nil
}

// syncFile syncs a file unless it has still the given size, and returns the size up
// to which it is synced at least.
func syncFile(name string, known int64) (size int64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0) // Windows syncs only what is open for writing
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Size() == known {
		return known, nil
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return st.Size(), nil
}
