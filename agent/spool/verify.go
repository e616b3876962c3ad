package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its file: a wrong page number makes it panic, some of it in a
// goroutine of its own where nobody can recover, or run in circles. Only its meta
// pages carry a checksum. So the tree is walked here, with plain reads, before bbolt
// maps the file. The layout is that of go.etcd.io/bbolt v1.5.0, internal/common
// (page.go, meta.go, bucket.go), which is in the byte order of the machine.

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltNoFreelist = 1<<64 - 1 // the file keeps no list of free pages

	pageHeaderSize  = 16 // id u64, flags u16, count u16, overflow u32
	pageElementSize = 16
	metaSize        = 64 // with its checksum, the last 8 bytes
	bucketHeader    = 16 // root page u64, sequence u64

	pageBranch = 0x01
	pageLeaf   = 0x02
	leafBucket = 0x01 // the value is a bucket

	// maxTreeDepth bounds the walk; a tree of 4 KiB pages with two entries each
	// that deep would have 2^32 leaves.
	maxTreeDepth = 32
)

// errDamaged marks files that are set aside instead of opened.
var errDamaged = errors.New("damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// treeWalk reads one file. Every page is visited at most once, so the walk ends.
type treeWalk struct {
	file     io.ReaderAt
	pageSize uint64
	pages    uint64 // high-water mark: page numbers are below it
	visited  []uint64
}

// verifyFile reports whether bbolt can open the file. setBack is true when one of the
// two meta pages is damaged: bbolt then shows the state of the transaction before the
// last, and says nothing.
func verifyFile(path string) (setBack bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return verifyTree(f, uint64(info.Size()))
}

func verifyTree(f io.ReaderAt, size uint64) (setBack bool, err error) {
	w := &treeWalk{file: f}
	root, setBack, err := w.readMetas(size)
	if err != nil {
		return false, err
	}
	if w.pages > size/w.pageSize {
		return false, damaged("cut: %d bytes of %d pages", size, w.pages)
	}
	w.visited = make([]uint64, w.pages/64+1)
	w.visited[0] = 3 // the meta pages
	return setBack, w.page(root, nil, nil, 0)
}

// readMetas finds the newest intact meta page and takes page size and bounds from it.
func (w *treeWalk) readMetas(size uint64) (root uint64, setBack bool, err error) {
	var newest, freelist uint64
	var good int
	// The page size is not known before one meta page is read: the second is looked
	// for where each possible size puts it.
	offsets := []uint64{0}
	for p := uint64(1 << 9); p <= 1<<16; p <<= 1 {
		offsets = append(offsets, p)
	}
	buf := make([]byte, pageHeaderSize+metaSize)
	for i, off := range offsets {
		if off+uint64(len(buf)) > size {
			break
		}
		if _, err := w.file.ReadAt(buf, int64(off)); err != nil {
			return 0, false, err
		}
		m := buf[pageHeaderSize:]
		pageSize := uint64(binary.NativeEndian.Uint32(m[8:]))
		if !metaIntact(m) || i > 0 && pageSize != off || pageSize < 512 || pageSize > 1<<16 || pageSize&(pageSize-1) != 0 {
			continue
		}
		good++
		if txid := binary.NativeEndian.Uint64(m[48:]); good == 1 || txid > newest {
			newest, w.pageSize = txid, pageSize
			root = binary.NativeEndian.Uint64(m[16:])
			w.pages = binary.NativeEndian.Uint64(m[40:])
			freelist = binary.NativeEndian.Uint64(m[32:])
		}
	}
	if good == 0 {
		return 0, false, damaged("no intact meta page")
	}
	if freelist != boltNoFreelist {
		return 0, false, damaged("it keeps a list of free pages, which ours never do")
	}
	return root, good < 2, nil
}

func metaIntact(m []byte) bool {
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8])
	return binary.NativeEndian.Uint32(m) == boltMagic && binary.NativeEndian.Uint32(m[4:]) == boltVersion &&
		binary.NativeEndian.Uint64(m[metaSize-8:]) == sum.Sum64()
}

// page checks the page and everything below it. Its keys are from low on and below
// high; nil means no bound.
func (w *treeWalk) page(id uint64, low, high []byte, depth int) error {
	if depth > maxTreeDepth {
		return damaged("page %d: too deep", id)
	}
	if id < 2 || id >= w.pages {
		return damaged("page %d of %d", id, w.pages)
	}
	var header [pageHeaderSize]byte
	if _, err := w.file.ReadAt(header[:], int64(id*w.pageSize)); err != nil {
		return err
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header[:]) != id || overflow >= w.pages-id {
		return damaged("page %d: wrong header", id)
	}
	for p := id; p <= id+overflow; p++ {
		if w.visited[p/64]&(1<<(p%64)) != 0 {
			return damaged("page %d is used twice", p)
		}
		w.visited[p/64] |= 1 << (p % 64)
	}
	data := make([]byte, (overflow+1)*w.pageSize)
	if _, err := w.file.ReadAt(data, int64(id*w.pageSize)); err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(data[8:]); flags {
	case pageBranch:
		return w.branch(id, data, low, high, depth)
	case pageLeaf:
		return w.leaf(id, data, low, high, depth, false)
	default:
		return damaged("page %d: type %#x", id, flags)
	}
}

func (w *treeWalk) branch(id uint64, data, low, high []byte, depth int) error {
	n := int(binary.NativeEndian.Uint16(data[10:]))
	keys := make([][]byte, n)
	children := make([]uint64, n)
	for i := range n {
		e, err := element(id, data, i)
		if err != nil {
			return err
		}
		pos, size := uint64(binary.NativeEndian.Uint32(e)), uint64(binary.NativeEndian.Uint32(e[4:]))
		if keys[i], err = within(id, e, pos, size); err != nil {
			return err
		}
		children[i] = binary.NativeEndian.Uint64(e[8:])
	}
	if err := ordered(id, keys, low, high); err != nil {
		return err
	}
	if n == 0 {
		return damaged("page %d: branch without entries", id)
	}
	for i, child := range children {
		end := high
		if i+1 < n {
			end = keys[i+1]
		}
		if err := w.page(child, keys[i], end, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWalk) leaf(id uint64, data, low, high []byte, depth int, inline bool) error {
	n := int(binary.NativeEndian.Uint16(data[10:]))
	keys := make([][]byte, n)
	for i := range n {
		e, err := element(id, data, i)
		if err != nil {
			return err
		}
		flags := binary.NativeEndian.Uint32(e)
		pos, ksize, vsize := uint64(binary.NativeEndian.Uint32(e[4:])), uint64(binary.NativeEndian.Uint32(e[8:])), uint64(binary.NativeEndian.Uint32(e[12:]))
		entry, err := within(id, e, pos, ksize+vsize)
		if err != nil {
			return err
		}
		keys[i] = entry[:ksize]
		switch {
		case flags == 0:
		case flags == leafBucket && !inline:
			if err := w.bucket(id, entry[ksize:], depth); err != nil {
				return err
			}
		default:
			return damaged("page %d: entry type %#x", id, flags)
		}
	}
	return ordered(id, keys, low, high)
}

// bucket checks a nested bucket: its tree, or the leaf that stands in its place.
func (w *treeWalk) bucket(id uint64, value []byte, depth int) error {
	if len(value) < bucketHeader {
		return damaged("page %d: cut bucket", id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.page(root, nil, nil, depth+1)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeaderSize || binary.NativeEndian.Uint16(inline[8:]) != pageLeaf || binary.NativeEndian.Uint64(inline) != 0 {
		return damaged("page %d: wrong inline bucket", id)
	}
	return w.leaf(id, inline, nil, nil, depth, true)
}

// element returns the page from its i-th element on: positions count from there.
func element(id uint64, data []byte, i int) ([]byte, error) {
	off := pageHeaderSize + i*pageElementSize
	if off+pageElementSize > len(data) {
		return nil, damaged("page %d: too many entries", id)
	}
	return data[off:], nil
}

func within(id uint64, e []byte, pos, size uint64) ([]byte, error) {
	if pos < pageElementSize || pos+size > uint64(len(e)) {
		return nil, damaged("page %d: entry out of bounds", id)
	}
	return e[pos : pos+size], nil
}

func ordered(id uint64, keys [][]byte, low, high []byte) error {
	for i, k := range keys {
		if i == 0 && low != nil && bytes.Compare(k, low) < 0 ||
			i > 0 && bytes.Compare(keys[i-1], k) >= 0 ||
			high != nil && bytes.Compare(k, high) >= 0 {
			return damaged("page %d: keys out of order", id)
		}
	}
	return nil
}
