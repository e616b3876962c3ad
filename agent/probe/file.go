package probe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// File is a file that stays open between readings, for the small files of /proc and
// /sys that are read at every tick: reading it again costs a fifth of opening it. It
// opens at the first reading and again after an error; one that does not exist is
// looked for at every missingRetry'th reading only. Not safe for concurrent use.
type File struct {
	host    *Host
	path    string
	f       *os.File
	missing error // why it could not be opened
	skip    int   // readings until it is looked for again
	poll    pollFds
}

// missingRetry makes a file that appears later (a module was loaded) be seen within
// five minutes of ticks of 10 s. Looking for it costs as much as reading it.
const missingRetry = 30

// maxKept bounds a kept file. /proc/net/dev of a machine with 10,000 interfaces has
// 1.3 MB.
const maxKept = 4 << 20

// File returns a kept file; nothing is opened yet.
func (h *Host) File(path string) *File { return &File{host: h, path: path} }

// Read reads the whole file from its start into buf, which grows if need be, and
// returns the filled part. The result is valid until the next use of buf; it is
// empty, with the capacity reached, when an error is returned.
func (f *File) Read(buf []byte) ([]byte, error) {
	buf = buf[:0]
	if err := f.open(); err != nil {
		return buf, err
	}
	buf, err := f.readAll(buf)
	f.host.bytes.Add(int64(len(buf)))
	if err != nil {
		f.Close() // read only: nothing can be lost
		return buf[:0], err
	}
	return buf, nil
}

func (f *File) open() error {
	if f.f != nil {
		return nil
	}
	if f.skip > 0 {
		f.skip--
		return f.missing
	}
	opened, _, err := f.host.open(f.path)
	if Absent(err) {
		f.missing, f.skip = err, missingRetry-1
	}
	f.f = opened
	return err
}

// Absent reports whether err says that this system has no such thing, rather than
// that reading it failed. Of joined errors each has to say so.
func Absent(err error) bool { return wholly(err, fs.ErrNotExist, errors.ErrUnsupported) }

// Changed reports whether the file may have changed since it was opened or since
// Changed was last asked. It is exact for the tables of mounts of a live Linux host;
// everything else may always have changed.
func (f *File) Changed() bool {
	return f.f == nil || !f.host.Live() || f.pollChanged()
}

func (f *File) readAll(buf []byte) ([]byte, error) {
	if cap(buf) == 0 {
		buf = make([]byte, 0, 4096)
	}
	for {
		n, err := f.f.ReadAt(buf[len(buf):cap(buf)], int64(len(buf)))
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		if len(buf) >= maxKept {
			return buf, fmt.Errorf("read %q: larger than the limit of %d bytes", f.path, maxKept)
		}
		buf = slices.Grow(buf, len(buf))
	}
}

// Close closes the file; a later Read opens it again.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
