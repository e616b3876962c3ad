package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Window slides along a stream and holds what its reader has not taken yet, so that
// indexes of any length are read in constant memory:
//
//	for {
//		if n := recordLength(w.Held()); n > 0 {
//			use(w.Held()[:n])
//			w.Take(n)
//		} else if !w.More() {
//			return w.Err() // w.Held() is the start of a record that does not end
//		}
//	}
//
// A NUL byte ends the stream with an error: no text has one, what follows is damage.
type Window struct {
	in    io.Reader
	buf   []byte // what was read, with room behind it
	taken int    // bytes of buf
	limit int
	read  int64
	ended bool // nothing follows buf
	err   error
}

// NewWindow returns a window that first holds up to size bytes, and later as much as
// one record takes, up to limit.
func NewWindow(in io.Reader, size, limit int) *Window {
	return &Window{in: in, buf: make([]byte, 0, size), limit: limit}
}

// Held is what was read and not taken. It is valid until the next call of More.
func (w *Window) Held() []byte { return w.buf[w.taken:] }

// Take lets go of the first n bytes that are held.
func (w *Window) Take(n int) { w.taken += n }

// Read is how many bytes came from the stream.
func (w *Window) Read() int64 { return w.read }

// Offset is where in the stream Held begins; no NUL byte stands before it.
func (w *Window) Offset() int64 { return w.read - int64(len(w.buf)-w.taken) }

// Err is why the stream ended early; nil when it came to its end. What came before is
// held nevertheless, so it is asked for when More reports false.
func (w *Window) Err() error { return w.err }

// More reads on behind what is held, and reports whether anything came.
func (w *Window) More() bool {
	if w.ended {
		return false
	}
	held := copy(w.buf, w.buf[w.taken:])
	w.buf, w.taken = w.buf[:held], 0
	if held == cap(w.buf) {
		if held >= w.limit {
			w.ended, w.err = true, fmt.Errorf("the record at offset %d is longer than %d bytes", w.Offset(), w.limit)
			return false
		}
		w.buf = append(make([]byte, 0, min(2*held, w.limit)), w.buf...)
	}
	w.fill()
	if i := bytes.IndexByte(w.buf[held:], 0); i >= 0 {
		w.ended, w.err = true, fmt.Errorf("damaged: NUL byte at offset %d", w.Offset()+int64(held+i))
		w.read -= int64(len(w.buf) - held - i)
		w.buf = w.buf[:held+i]
	}
	return len(w.buf) > held
}

// fill reads until the buffer is full: streams that are inflated come in small pieces,
// and each call of More moves what is held.
func (w *Window) fill() {
	for !w.ended && len(w.buf) < cap(w.buf) {
		n, err := w.in.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		w.read += int64(n)
		if err != nil {
			w.ended = true
			if !errors.Is(err, io.EOF) {
				w.err = err
			}
		}
	}
}
