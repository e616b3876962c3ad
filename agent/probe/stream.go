package probe

import (
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
