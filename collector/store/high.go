package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// highMark is the file that remembers the last transaction beside the database: when
// the newest of bbolt's two root pages is damaged, bbolt goes on silently from the
// one before. It is overwritten in place after each commit and not flushed: after a
// power cut it may be old, which only means that it notices less.
type highMark struct {
	path       string
	f          *os.File
	txid       uint64 // as found at open
	lastChange uint64

	mu      sync.Mutex // guards what follows: commits are over before they are noted here
	written uint64     // newest transaction noted since open
	buf     [28]byte   // magic, txid, last change, CRC-32C
}

const highMagic = "ATALHIGH"

func openHighMark(path string) (*highMark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open high mark: %w", err)
	}
	h := &highMark{path: path, f: f}
	n, err := f.ReadAt(h.buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read high mark: %w", err), f.Close())
	}
	if n == len(h.buf) && string(h.buf[:8]) == highMagic &&
		crc32.Checksum(h.buf[:24], castagnoli) == binary.LittleEndian.Uint32(h.buf[24:]) {
		h.txid = binary.LittleEndian.Uint64(h.buf[8:])
		h.lastChange = binary.LittleEndian.Uint64(h.buf[16:])
	}
	return h, nil
}

// write records a commit. lastChange 0 leaves that part as it was.
func (h *highMark) write(txid, lastChange uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastChange = max(h.lastChange, lastChange)
	if txid <= h.written {
		return nil // a later commit was quicker
	}
	h.written = txid
	copy(h.buf[:], highMagic)
	binary.LittleEndian.PutUint64(h.buf[8:], txid)
	binary.LittleEndian.PutUint64(h.buf[16:], h.lastChange)
	binary.LittleEndian.PutUint32(h.buf[24:], crc32.Checksum(h.buf[:24], castagnoli))
	_, err := h.f.WriteAt(h.buf[:], 0)
	return err
}

func (h *highMark) close() error { return h.f.Close() }
