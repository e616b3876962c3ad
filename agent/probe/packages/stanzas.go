package packages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// windowBytes is read at once: large enough for few system calls, small enough for
	// the cache of a processor. Status files of large systems have 10 MB.
	windowBytes = 32 << 10
	// maxStanza bounds one stanza. Those of kernels and of TeX, the longest, have 100 KB.
	maxStanza = 4 << 20
)

// window reads a file in parts and holds what its reader has not taken yet.
type window struct {
	in     io.Reader
	buf    []byte // held content, with room behind it
	offset int64  // of buf in the file
	ended  bool   // nothing follows buf
}

func newWindow(in io.Reader) *window { return &window{in: in, buf: make([]byte, 0, windowBytes)} }

// more reads on behind what is held, of which the first n bytes are let go. It reports
// false when nothing came, and each error once.
func (w *window) more(n int) (bool, error) {
	w.offset += int64(n)
	rest := copy(w.buf, w.buf[n:])
	w.buf = w.buf[:rest]
	if w.ended {
		return false, nil
	}
	if rest == cap(w.buf) {
		if rest >= maxStanza {
			return false, fmt.Errorf("stanza at offset %d: longer than %d bytes", w.offset, maxStanza)
		}
		w.buf = append(make([]byte, 0, 4*rest), w.buf...)
	}
	got, err := io.ReadFull(w.in, w.buf[rest:cap(w.buf)])
	w.ended = err != nil
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if i := bytes.IndexByte(w.buf[rest:rest+got], 0); i >= 0 {
		got, w.ended = i, true // what follows is not worth a look
		err = fmt.Errorf("damaged: NUL byte at offset %d", w.offset+int64(rest+i))
	}
	w.buf = w.buf[:rest+got]
	return got > 0, err
}
