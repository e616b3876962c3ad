package series

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// repairSuffix is what the engine's repair of a log (tsdb v0.315, wlog.WL.Repair) puts
// behind the name of the segment that it writes anew without its torn end. A repair that
// is cut short, by a full disk or a kill, leaves it so, and nothing reads it any more.
const repairSuffix = ".repair"

// mendLog makes a folder of log segments whole before the engine reads it. It puts back
// what a repair left aside, and cuts the torn end of the last segment off in place: unlike
// the engine's repair that needs no space, and can end at any point.
func mendLog(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if name, aside := strings.CutSuffix(e.Name(), repairSuffix); aside {
			if n, err := strconv.Atoi(name); err == nil {
				if err := putBack(dir, n, log); err != nil {
					return fmt.Errorf("put back %q: %w", filepath.Join(dir, e.Name()), err)
				}
			}
		}
	}
	return cutTorn(dir, log)
}

// putBack gives a segment the name back that it had before its repair. What the repair has
// written under this name so far is the beginning of it. Segments that were written after a
// cut repair may use its references for other series: then it stays aside.
func putBack(dir string, n int, log *slog.Logger) error {
	last, err := lastWritten(dir)
	if err != nil {
		return err
	}
	name := wlog.SegmentName(dir, n)
	if last > n {
		log.Warn("log segment of a repair that was cut short is not read: newer ones were written since", "file", name+repairSuffix)
		return nil
	}
	log.Warn("log segment of a repair that was cut short is put back", "file", name)
	if err := os.Rename(name+repairSuffix, name); err != nil {
		return err
	}
	return syncDir(dir)
}

// lastWritten returns the newest segment that is not empty, -1 when there is none.
func lastWritten(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	last := -1
	for _, e := range entries {
		n, noSegment := strconv.Atoi(e.Name())
		if noSegment != nil {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return -1, err
		}
		if st.Size() > 0 {
			last = max(last, n)
		}
	}
	return last, err
}

// cutTorn takes the end off the newest segment that is no whole record.
func cutTorn(dir string, log *slog.Logger) error {
	n, err := lastWritten(dir)
	if err != nil || n < 0 {
		return err
	}
	segments, err := wlog.NewSegmentsRangeReader(wlog.SegmentRange{Dir: dir, First: n, Last: n})
	if err != nil {
		return err
	}
	r := wlog.NewReader(segments)
	var whole int64
	for r.Next() {
		whole = r.Offset()
	}
	torn := r.Err()
	if err := segments.Close(); err != nil {
		return err
	}
	var unread *fs.PathError
	if torn == nil || errors.As(torn, &unread) {
		return torn
	}
	name := wlog.SegmentName(dir, n)
	log.Warn("log segment ends in half a record, which is cut off", "file", name, "bytes", whole, "err", torn)
	return cut(name, whole)
}

// cut makes a file shorter, durably: newer segments must not become durable before.
func cut(name string, size int64) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return errors.Join(f.Truncate(size), f.Sync())
}
