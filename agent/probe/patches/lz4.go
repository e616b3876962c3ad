package patches

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lz4Reader inflates LZ4 frames, in which apt keeps its lists where
// Acquire::GzipIndexes is set, as in the container images of Debian and Ubuntu.
// Formats: lz4_Frame_format.md and lz4_Block_format.md of github.com/lz4/lz4, version
// 1.6. Checksums are skipped: the caller compares the length with the signed one.
type lz4Reader struct {
	r   io.Reader
	err error
	in  []byte // one compressed block
	// out holds up to lz4Window bytes of history and behind it the current block, of
	// which out[pos:] is not yet given away.
	out []byte
	pos int

	started       bool
	blockMax      int
	blockChecksum bool
	endChecksum   bool
}

const (
	lz4Magic  = 0x184D2204
	lz4Window = 64 << 10 // how far back a match reaches
)

var errLZ4 = errors.New("damaged lz4 data")

func newLZ4Reader(r io.Reader) *lz4Reader { return &lz4Reader{r: r} }

// Read implements io.Reader.
func (z *lz4Reader) Read(p []byte) (int, error) {
	for z.pos == len(z.out) && z.err == nil {
		z.err = z.step()
	}
	n := copy(p, z.out[z.pos:])
	z.pos += n
	if n == 0 && len(p) > 0 {
		return 0, z.err
	}
	return n, nil
}

// step reads a frame header or a block.
func (z *lz4Reader) step() error {
	if !z.started {
		return z.header()
	}
	size, err := z.uint32()
	if err != nil {
		return err
	}
	if size == 0 { // end of the frame
		z.started = false
		if z.endChecksum {
			_, err = z.uint32()
		}
		return err
	}
	stored := size&(1<<31) != 0
	size &^= 1 << 31
	if int64(size) > int64(z.blockMax) {
		return fmt.Errorf("%w: block of %d bytes", errLZ4, size)
	}
	z.in = grow(z.in, int(size))
	if _, err := io.ReadFull(z.r, z.in); err != nil {
		return unexpected(err)
	}
	if z.blockChecksum {
		if _, err := z.uint32(); err != nil {
			return err
		}
	}
	return z.block(stored)
}

// header reads the frame descriptor; io.EOF where no further frame begins.
func (z *lz4Reader) header() error {
	var h [4 + 2 + 8 + 4 + 1]byte
	if _, err := io.ReadFull(z.r, h[:6]); err != nil {
		return err // io.EOF between frames is the end
	}
	if binary.LittleEndian.Uint32(h[:]) != lz4Magic {
		return fmt.Errorf("%w: no frame", errLZ4)
	}
	flags, size := h[4], h[5]>>4&7
	if flags>>6 != 1 || size < 4 {
		return fmt.Errorf("%w: frame version or block size", errLZ4)
	}
	rest := 1 // header checksum
	if flags&(1<<3) != 0 {
		rest += 8 // content size
	}
	if flags&1 != 0 {
		return errors.New("lz4 dictionaries are not supported")
	}
	if _, err := io.ReadFull(z.r, h[6:6+rest]); err != nil {
		return unexpected(err)
	}
	z.blockChecksum, z.endChecksum = flags&(1<<4) != 0, flags&(1<<2) != 0
	z.blockMax = 1 << (8 + 2*size) // 64 KiB, 256 KiB, 1 MiB, 4 MiB
	z.out, z.pos, z.started = z.out[:0], 0, true
	return nil
}

func (z *lz4Reader) uint32() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(z.r, b[:])
	return binary.LittleEndian.Uint32(b[:]), unexpected(err)
}

// block appends the block in z.in to the history.
func (z *lz4Reader) block(stored bool) error {
	if keep := len(z.out) - lz4Window; keep > 0 {
		z.out = z.out[:copy(z.out, z.out[keep:])]
	}
	z.pos = len(z.out)
	limit := len(z.out) + z.blockMax
	if cap(z.out) < limit {
		z.out = append(make([]byte, 0, lz4Window+z.blockMax), z.out...)
	}
	if stored {
		z.out = append(z.out, z.in...)
		return nil
	}
	out, err := lz4Block(z.out, z.in, limit)
	z.out = out
	return err
}

// lz4Block appends the inflated block to dst, which never grows beyond limit; dst has
// room for it. Most literals and matches are short: they are copied as arrays of 16
// bytes, beyond their end, where what follows writes over it. The lists of a Debian
// have three million matches: what is done for each calls no function.
func lz4Block(dst, src []byte, limit int) ([]byte, error) {
	d, s, ok := len(dst), 0, true
	buf := dst[:limit]
	for s < len(src) {
		token := src[s]
		s++
		n := int(token >> 4)
		if n < 15 && s+16 <= len(src) && d+16 <= limit {
			*(*[16]byte)(buf[d:]) = [16]byte(src[s:])
		} else {
			if n, s, ok = lz4Length(n, src, s); !ok || n > len(src)-s || n > limit-d {
				return buf[:d], errLZ4
			}
			copy(buf[d:], src[s:s+n])
		}
		d, s = d+n, s+n
		if s == len(src) {
			return buf[:d], nil // the last sequence is literals only
		}
		if len(src)-s < 2 {
			return buf[:d], errLZ4
		}
		offset := int(src[s]) | int(src[s+1])<<8
		s += 2
		if n = int(token & 15); n == 15 {
			if n, s, ok = lz4Length(n, src, s); !ok {
				return buf[:d], errLZ4
			}
		}
		n += 4 // the shortest match
		from := d - offset
		if offset == 0 || from < 0 || n > limit-d {
			return buf[:d], errLZ4
		}
		if n <= 32 && offset >= 16 && d+32 <= limit { // whole arrays do not run into what they write
			*(*[16]byte)(buf[d:]) = [16]byte(buf[from:])
			*(*[16]byte)(buf[d+16:]) = [16]byte(buf[from+16:])
		} else {
			lz4Match(buf, d, from, n)
		}
		d += n
	}
	return buf[:d], errLZ4
}

// lz4Match copies n bytes from one place to a later one. It may run into what it writes.
func lz4Match(buf []byte, d, from, n int) {
	for n > 0 {
		done := copy(buf[d:d+min(n, d-from)], buf[from:d])
		d, n = d+done, n-done
	}
}

// lz4Length reads a length of which n is the part in the token: 15 says that further
// bytes follow at src[s:], up to one below 255. It returns where they end.
func lz4Length(n int, src []byte, s int) (length, end int, ok bool) {
	if n < 15 {
		return n, s, true
	}
	for s < len(src) {
		b := src[s]
		s++
		if n += int(b); b < 255 {
			return n, s, true
		}
	}
	return 0, s, false
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// unexpected makes an end inside a frame an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
