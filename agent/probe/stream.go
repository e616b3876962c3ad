package probe

import (
	"errors"
	"io"
	"os"
)

// Open opens a regular file to be read in parts, for files that are too large to be
// held in memory. No size limit applies; what is read counts as the probe's.
func (h *Host) Open(name string) (io.ReadCloser, error) {
	f, _, err := h.open(name)
	if err != nil {
		return nil, err
	}
	return &stream{f: f, host: h}, nil
}

type stream struct {
	f    *os.File
	host *Host
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	s.host.bytes.Add(int64(n))
	return n, err
}

func (s *stream) Close() error { return s.f.Close() }

// ReadTail reads the last bytes of a regular file, at most limit of them, for logs of
// records that only the newest count of. whole says that it is all of the file.
func (h *Host) ReadTail(name string, limit, record int64) (data []byte, whole bool, err error) {
	f, size, err := h.open(name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close() // read only: nothing can be lost
	from := int64(0)
	if limit -= limit % record; size > limit {
		from = (size - limit + record - 1) / record * record
	}
	data = make([]byte, size-from)
	n, err := f.ReadAt(data, from)
	h.bytes.Add(int64(n))
	if errors.Is(err, io.EOF) { // it has become shorter
		err = nil
	}
	return data[:n], from == 0, err
}

// ReadRecords reads records of a sparse file by their numbers, and calls fn with each
// that lies wholly in the file. Holes cost nothing.
func (h *Host) ReadRecords(name string, record int, numbers []int64, fn func(number int64, data []byte)) error {
	f, size, err := h.open(name)
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing can be lost
	buf := make([]byte, record)
	for _, n := range numbers {
		off := n * int64(record)
		if n < 0 || off < 0 || off > size-int64(record) {
			continue
		}
		got, err := f.ReadAt(buf, off)
		h.bytes.Add(int64(got))
		if got == record {
			fn(n, buf)
		} else if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// Random is an open file that is read at any place, for databases.
type Random struct {
	f    *os.File
	host *Host
	size int64
}

// OpenAt opens a regular file to be read at any place. No size limit applies; what is
// read counts as the probe's.
func (h *Host) OpenAt(name string) (*Random, error) {
	f, size, err := h.open(name)
	if err != nil {
		return nil, err
	}
	return &Random{f: f, host: h, size: size}, nil
}

// Name is where the file lies on this machine.
func (r *Random) Name() string { return r.f.Name() }

// Size is the size that the file had when it was opened.
func (r *Random) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt.
func (r *Random) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.f.ReadAt(p, at)
	r.host.bytes.Add(int64(n))
	return n, err
}

// Close closes the file.
func (r *Random) Close() error { return r.f.Close() }
