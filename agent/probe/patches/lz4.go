package patches

import (
	"bufio"
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
	r   *bufio.Reader
	err error
	in  []byte // one compressed block that is larger than the buffer of r
	// out holds at least lz4Window bytes of history and behind it the current block, of
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
	lz4Buffer = 128 << 10
)

var errLZ4 = errors.New("damaged lz4 data")

func newLZ4Reader(r io.Reader) *lz4Reader {
	return &lz4Reader{r: bufio.NewReaderSize(r, lz4Buffer)}
}

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
	if size > lz4Buffer {
		z.in = grow(z.in, int(size))
		if _, err := io.ReadFull(z.r, z.in); err != nil {
			return unexpected(err)
		}
		err = z.block(z.in, stored)
	} else {
		in, short := z.r.Peek(int(size)) // where it lies
		if short != nil {
			return unexpected(short)
		}
		err = z.block(in, stored)
		z.r.Discard(len(in)) // they are there
	}
	if err == nil && z.blockChecksum {
		_, err = z.uint32()
	}
	return err
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

// block appends a block to the history, of which it lets go only when there is no more
// room: to move it takes as long as to read it.
func (z *lz4Reader) block(in []byte, stored bool) error {
	if cap(z.out)-len(z.out) < z.blockMax {
		kept := z.out[max(len(z.out)-lz4Window, 0):]
		if room := lz4Window + max(z.blockMax, 3*lz4Window); cap(z.out) < room {
			z.out = make([]byte, 0, room)
		}
		z.out = z.out[:copy(z.out[:cap(z.out)], kept)]
	}
	z.pos = len(z.out)
	if stored {
		z.out = append(z.out, in...)
		return nil
	}
	out, err := lz4Block(z.out, in, len(z.out)+z.blockMax)
	z.out = out
	return err
}

// lz4Block appends the inflated block to dst, which never grows beyond limit; dst has
// room for it. The lists of a Debian have three million sequences, most of them short:
// those are copied as arrays of 16 bytes, beyond their end, where what follows writes
// over it, with three checks of bounds for each and no call.
func lz4Block(dst, src []byte, limit int) ([]byte, error) {
	d, s := len(dst), 0
	buf := dst[:limit]
	for s < len(src) {
		if s+lz4In > len(src) || d+lz4Out > limit {
			return lz4End(buf, src, d, s)
		}
		in, out := (*[lz4In]byte)(src[s:]), (*[lz4Out]byte)(buf[d:])
		n, match := int(in[0]>>4), int(in[0]&15)+4
		ok := n < 15
		if ok {
			*(*[16]byte)(out[:]) = *(*[16]byte)(in[1:])
			offset, more := int(in[1+n])|int(in[2+n])<<8, 0
			if match == 19 {
				match, more = match+int(in[3+n]), 1
				ok = in[3+n] < 255
			}
			from := d + n - offset
			if ok && match <= 32 && offset >= 16 && from >= 0 {
				there := (*[32]byte)(buf[from:])
				*(*[16]byte)(out[n:]) = *(*[16]byte)(there[:])
				*(*[16]byte)(out[n+16:]) = *(*[16]byte)(there[16:])
				d, s = d+n+match, s+n+3+more
				continue
			}
			d, s = d+n, s+n+1
		} else if d, s, ok = lz4Literals(buf, src, d, s); !ok {
			break
		} else if s == len(src) {
			return buf[:d], nil // the last sequence is literals only
		}
		if d, s, ok = lz4Match(buf, src, d, s, int(in[0]&15)); !ok {
			break
		}
	}
	return buf[:d], errLZ4
}

const (
	// lz4In is what a short sequence takes, its literals copied as 16.
	lz4In = 1 + 16 + 3
	// lz4Out is what it writes: 14 literals and 32 bytes of a match.
	lz4Out = 14 + 32
)

// lz4End inflates what is too near the end of the data or of the room for arrays.
func lz4End(buf, src []byte, d, s int) ([]byte, error) {
	for s < len(src) {
		token, ok := src[s], false
		if d, s, ok = lz4Literals(buf, src, d, s); !ok {
			break
		}
		if s == len(src) {
			return buf[:d], nil // the last sequence is literals only
		}
		if d, s, ok = lz4Match(buf, src, d, s, int(token&15)); !ok {
			break
		}
	}
	return buf[:d], errLZ4
}

// lz4Literals copies the literals of the sequence whose token is src[s].
func lz4Literals(buf, src []byte, d, s int) (int, int, bool) {
	n, s, ok := lz4Length(int(src[s]>>4), src, s+1)
	if !ok || n > len(src)-s || n > len(buf)-d {
		return d, s, false
	}
	copy(buf[d:], src[s:s+n])
	return d + n, s + n, true
}

// lz4Match copies a match whose offset is at src[s:]; n is the length in its token.
// It may run into what it writes.
func lz4Match(buf, src []byte, d, s, n int) (int, int, bool) {
	if len(src)-s < 2 {
		return d, s, false
	}
	offset := int(src[s]) | int(src[s+1])<<8
	n, s, ok := lz4Length(n, src, s+2)
	n += 4 // the shortest match
	from := d - offset
	if !ok || offset == 0 || from < 0 || n > len(buf)-d {
		return d, s, false
	}
	if offset >= 16 && n <= 128 && d+144 <= len(buf) {
		for i := 0; i < n; i += 16 { // whole arrays do not run into what they write
			*(*[16]byte)(buf[d+i:]) = *(*[16]byte)(buf[from+i:])
		}
		return d + n, s, true
	}
	for end := d + n; d < end; {
		d += copy(buf[d:end], buf[from:d])
	}
	return d, s, true
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
