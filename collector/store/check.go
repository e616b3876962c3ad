package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Damage is one thing that is wrong with a state file.
type Damage struct {
	Table  string // empty where the table cannot be told
	Key    []byte
	Page   uint64
	Detail string
	Record bool // one record, or the sum of a table: the structure around it is sound
}

// maxPlace bounds the key of a finding as it is told, in bytes.
const maxPlace = 12

// tokenID is how much of the key of a token is its public name, in bytes.
const tokenID = 5

// secretKeys are tables whose keys are hashes of secrets.
var secretKeys = []string{"auth.", "enroll."}

// place is the key as people may read it: no hash of a secret, nothing long.
func (d Damage) place() string {
	switch {
	case d.Table == "enroll.tokens" && len(d.Key) > tokenID: // by which it is listed; it says nothing of the secret
		return fmt.Sprintf("%x", d.Key[:tokenID])
	case slices.ContainsFunc(secretKeys, func(p string) bool { return strings.HasPrefix(d.Table, p) }):
		return "(not shown)"
	case d.Table == "query.saved":
		return fmt.Sprintf("%.64q", d.Key)
	case len(d.Key) > maxPlace:
		return fmt.Sprintf("%x...", d.Key[:maxPlace])
	}
	return fmt.Sprintf("%x", d.Key)
}

// String names the place and what is wrong.
func (d Damage) String() string {
	if d.Table != "" {
		return fmt.Sprintf("table %.40q, %s", d.Table, d.within())
	}
	return d.within()
}

// within is String without the table.
func (d Damage) within() string {
	s := fmt.Sprintf("page %d: %s", d.Page, d.Detail)
	if d.Key != nil {
		s = fmt.Sprintf("key %s, %s", d.place(), s)
	}
	return s
}

// maxDamage is how many findings a report lists; the rest is only counted.
const maxDamage = 100

// Report is what Check found.
type Report struct {
	Path    string
	Version uint64 // of the layout, see formatVersion
	TxID    uint64 // of the newest transaction that the file shows
	Pages   uint64 // in use
	Bytes   uint64 // up to the last page in use; what is behind it is not read
	Records uint64
	Damage  []Damage            // the first hundred
	Count   int                 // of all findings
	Tables  map[string]Findings // by table
	OneRoot bool                // only one of the two root pages is sound
	Why     string              // why the file cannot be healed, if that was tried
}

// Findings is what was found of one table.
type Findings struct {
	Count     int    // of all findings
	Structure int    // of those that are more than a record
	First     string // of those, or of all
}

// Err returns nil for a sound file of a known version.
func (r Report) Err() error {
	switch {
	case r.Count > 0:
		text := fmt.Sprintf("%q, %d findings", r.Path, r.Count)
		if r.Why != "" {
			text = r.Why + "; " + text
		}
		return &CorruptError{Findings: r.Summary(), Detail: text + "; keep the file aside and restore the last backup, the hosts then report again what is newer"}
	case r.Version > formatVersion:
		return fmt.Errorf("%w: %q has layout %d, this one knows %d: install the newer version again, or restore a backup of this one",
			ErrNewer, r.Path, r.Version, formatVersion)
	}
	return nil
}

// maxSummary bounds the lines of a summary.
const maxSummary = 20

// worst are the damaged tables, worst first: at most so many that a summary has.
func (r Report) worst() []string {
	names := slices.SortedFunc(maps.Keys(r.Tables), func(a, b string) int {
		x, y := r.Tables[a], r.Tables[b]
		return cmp.Or(cmp.Compare(policyOf(b).fate, policyOf(a).fate), cmp.Compare(y.Structure, x.Structure), cmp.Compare(y.Count, x.Count), cmp.Compare(a, b))
	})
	return names[:min(len(names), maxSummary-1)]
}

// Summary lists the findings by table, worst first, a line each.
func (r Report) Summary() (lines []string) {
	for _, name := range r.worst() {
		f := r.Tables[name]
		lines = append(lines, fmt.Sprintf("%-16.40s %5d  %s", strings.ToValidUTF8(cmp.Or(name, "(file)"), "?"), f.Count, f.First))
	}
	if n := len(r.Tables) - maxSummary + 1; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d tables more", n))
	}
	return lines
}

// Check reads a state file, or a backup of one, and verifies all of it: the structure
// of bbolt's pages, the order of keys, each value's checksum, and number and sum of
// the records of each table. It reads with plain reads and believes no length, so no
// damage can make it fail otherwise than by a finding; that is why it runs before
// bbolt opens the file. An error means that the file could not be read.
//
// The file must not be written meanwhile. The layout of pages is that of bbolt's
// internal/common (page.go, meta.go, bucket.go) in the byte order of this machine.
func Check(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("check state file: %w", err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return Report{}, fmt.Errorf("check state file: %w", err)
	}
	c := newChecker(f, info.Size(), path)
	if c.readMeta() {
		c.walk()
	}
	if c.ioErr != nil {
		return c.report, fmt.Errorf("check state file %q: %w", path, c.ioErr)
	}
	return c.report, nil
}

// Sizes and numbers of bbolt's format.
const (
	pageHeader   = 16         // id 8, flags 2, count 2, overflow 4
	metaSize     = 64         // magic to checksum
	elementSize  = 16         // of branches (pos, ksize, page 8) and leaves (flags, pos, ksize, vsize)
	bucketHeader = 16         // root page 8, sequence 8
	boltMagic    = 0xED0CDAED // internal/common/types.go
	boltVersion  = 2
	flagBranch   = 1
	flagLeaf     = 2
	flagBucket   = 1 // of a leaf element
	maxDepth     = 40
)

type checker struct {
	file     io.ReaderAt
	size     int64
	pageSize uint64
	pages    uint64 // page numbers in use are below it
	root     uint64
	used     []uint64 // bit set of pages reached
	sums     map[string]tableTotal
	want     map[string]tableTotal // from the catalogue
	broken   map[string]tableTotal // damaged records, by the checksums that they carry
	report   Report
	ioErr    error
}

func newChecker(f io.ReaderAt, size int64, path string) *checker {
	return &checker{file: f, size: size, report: Report{Path: path}, sums: map[string]tableTotal{}, want: map[string]tableTotal{}, broken: map[string]tableTotal{}}
}

// walk checks all that the root leads to.
func (c *checker) walk() {
	c.used = make([]uint64, c.pages/64+1)
	c.bucket("", c.root)
	c.compareSums()
}

func (c *checker) damage(table string, key []byte, page uint64, format string, args ...any) {
	c.note(Damage{Table: table, Key: bytes.Clone(key), Page: page, Detail: fmt.Sprintf(format, args...)})
}

// bad notes a record that is wrong in itself.
func (c *checker) bad(table string, key []byte, page uint64, format string, args ...any) {
	c.note(Damage{Table: table, Key: bytes.Clone(key), Page: page, Detail: fmt.Sprintf(format, args...), Record: true})
}

func (c *checker) note(d Damage) {
	c.report.Count++
	if len(c.report.Damage) < maxDamage {
		c.report.Damage = append(c.report.Damage, d)
	}
	if c.report.Tables == nil {
		c.report.Tables = map[string]Findings{}
	}
	name := d.Table
	if _, known := c.report.Tables[name]; !known && len(c.report.Tables) >= maxDamage {
		return // names are what the file says
	}
	f := c.report.Tables[name]
	f.Count++
	if f.Count == 1 || !d.Record && f.Structure == 0 {
		f.First = d.within()
	}
	if !d.Record {
		f.Structure++
	}
	c.report.Tables[name] = f
}

// readMeta finds the newer of the two root pages that is sound, as bbolt does.
func (c *checker) readMeta() bool {
	found, sound := false, 0
	// The first root page is at the beginning, the second one page further; without
	// the first the page size is not known, and all that are usual are tried.
	for _, at := range []int64{0, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16} {
		var b [pageHeader + metaSize]byte
		if _, err := c.file.ReadAt(b[:], at); err != nil {
			if !errors.Is(err, io.EOF) {
				c.ioErr = err
			}
			break
		}
		m := b[pageHeader:]
		h := fnv.New64a()
		h.Write(m[:56])
		ne := binary.NativeEndian
		if ne.Uint32(m) != boltMagic || ne.Uint32(m[4:]) != boltVersion || ne.Uint64(m[56:]) != h.Sum64() {
			continue
		}
		size, tx := uint64(ne.Uint32(m[8:])), ne.Uint64(m[48:])
		if at != 0 && uint64(at) != size {
			continue
		}
		sound++
		if found && tx <= c.report.TxID {
			continue
		}
		found = true
		c.pageSize, c.root, c.pages, c.report.TxID = size, ne.Uint64(m[16:]), ne.Uint64(m[40:]), tx
	}
	switch {
	case c.ioErr != nil:
	case !found:
		c.damage("", nil, 0, "no sound root page: not a state file, or both root pages are damaged")
	case c.pageSize < 1<<10 || c.pages > uint64(c.size)/c.pageSize:
		c.damage("", nil, 0, "the file is cut: it has %d bytes, %d pages of %d are in use", c.size, c.pages, c.pageSize)
	default:
		c.report.Bytes = c.pages * c.pageSize
		c.report.OneRoot = sound < 2
		return true
	}
	return false
}

// node is a page, or a bucket small enough to lie within its parent's value.
type node struct {
	id     uint64
	branch bool
	count  uint64
	b      []byte // with the header
}

// page reads a page with its overflow and notes that it is in use.
func (c *checker) page(table string, id uint64) (node, bool) {
	if id < 2 || id >= c.pages {
		c.damage(table, nil, id, "refers to a page outside the file")
		return node{}, false
	}
	head := make([]byte, pageHeader)
	if !c.read(head, id) {
		return node{}, false
	}
	span := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if got := binary.NativeEndian.Uint64(head); got != id {
		c.damage(table, nil, id, "carries the number %d", got)
		return node{}, false
	}
	if span > c.pages-id {
		c.damage(table, nil, id, "reaches beyond the end of the file")
		return node{}, false
	}
	for p := id; p < id+span; p++ {
		if c.used[p/64]&(1<<(p%64)) != 0 {
			c.damage(table, nil, p, "is used twice")
			return node{}, false
		}
		c.used[p/64] |= 1 << (p % 64)
	}
	c.report.Pages += span
	b := make([]byte, span*c.pageSize)
	if !c.read(b, id) {
		return node{}, false
	}
	return c.node(table, id, b)
}

func (c *checker) read(b []byte, page uint64) bool {
	_, err := c.file.ReadAt(b, int64(page*c.pageSize))
	if err != nil && c.ioErr == nil {
		c.ioErr = err
	}
	return err == nil
}

func (c *checker) node(table string, id uint64, b []byte) (node, bool) {
	flags, count := binary.NativeEndian.Uint16(b[8:]), uint64(binary.NativeEndian.Uint16(b[10:]))
	n := node{id: id, branch: flags == flagBranch, count: count, b: b}
	switch {
	case flags != flagBranch && flags != flagLeaf:
		c.damage(table, nil, id, "is neither branch nor leaf: flags %x", flags)
	case pageHeader+count*elementSize > uint64(len(b)):
		c.damage(table, nil, id, "has %d elements, more than fit", count)
	case n.branch && count == 0:
		c.damage(table, nil, id, "is an empty branch")
	default:
		return n, true
	}
	return node{}, false
}

// element returns what the i-th element holds: key and value, and the page for a branch.
func (n node) element(i uint64) (key, value []byte, page uint64, bucket, ok bool) {
	at := pageHeader + i*elementSize
	e := n.b[at : at+elementSize]
	ne := binary.NativeEndian
	var pos, ksize, vsize uint64
	if n.branch {
		pos, ksize, page = uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:])), ne.Uint64(e[8:])
	} else {
		bucket = ne.Uint32(e)&flagBucket != 0
		ok = ne.Uint32(e)&^flagBucket == 0
		pos, ksize, vsize = uint64(ne.Uint32(e[4:])), uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
		if !ok {
			return nil, nil, 0, false, false
		}
	}
	begin := at + pos
	if pos < (n.count-i)*elementSize || begin+ksize+vsize > uint64(len(n.b)) {
		return nil, nil, 0, false, false
	}
	return n.b[begin : begin+ksize], n.b[begin+ksize : begin+ksize+vsize], page, bucket, true
}

// bucket checks the tree of a table; "" is the bucket of all tables.
func (c *checker) bucket(table string, root uint64) {
	if n, ok := c.page(table, root); ok {
		c.tree(table, n, nil, nil, 0)
	}
}

// tree checks a node and what is below it. Its keys are not below low and below high.
func (c *checker) tree(table string, n node, low, high []byte, depth int) {
	if depth > maxDepth {
		c.damage(table, nil, n.id, "the tree is too deep")
		return
	}
	var last []byte
	for i := range n.count {
		key, value, page, bucket, ok := n.element(i)
		if !ok {
			c.damage(table, nil, n.id, "element %d reaches outside its page", i)
			return
		}
		if low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 ||
			i > 0 && bytes.Compare(key, last) <= 0 {
			c.damage(table, key, n.id, "key is out of order")
			return
		}
		last = key
		if !n.branch {
			before := c.report.Count
			c.record(table, n.id, key, value, bucket)
			if c.report.Count > before && i == 0 && low != nil && !bytes.Equal(key, low) {
				// bbolt finds a page from above by its first key: written to, it would stay in twice.
				c.damage(table, key, n.id, "is the first of its page, and not the key that the page above says")
			}
			continue
		}
		next := high
		if i+1 < n.count {
			if next, _, _, _, ok = n.element(i + 1); !ok {
				c.damage(table, nil, n.id, "element %d reaches outside its page", i+1)
				return
			}
		}
		if child, ok := c.page(table, page); ok {
			c.tree(table, child, key, next, depth+1)
		}
	}
}

// record checks one record of a table, or one table of the file.
func (c *checker) record(table string, page uint64, key, value []byte, bucket bool) {
	if table != "" {
		if bucket {
			c.damage(table, key, page, "is a table within a table")
			return
		}
		c.value(table, page, key, value)
		return
	}
	if !bucket || len(value) < bucketHeader {
		c.damage("", key, page, "is not a table")
		return
	}
	name := string(key)
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		c.bucket(name, root)
		return
	}
	if len(value) < bucketHeader+pageHeader {
		c.damage(name, nil, page, "is cut")
		return
	}
	n, ok := c.node(name, page, value[bucketHeader:])
	if ok && n.branch {
		c.damage(name, nil, page, "is a branch within a value")
		return
	}
	if ok {
		c.tree(name, n, nil, nil, 0)
	}
}

func (c *checker) value(table string, page uint64, key, stored []byte) {
	c.report.Records++
	v, err := unseal(table, key, stored)
	if err != nil {
		var ce *CorruptError
		errors.As(err, &ce)
		c.bad(table, key, page, "%s", ce.Detail)
		c.broken[table] = c.broken[table].plus(totalOf(stored))
		return
	}
	switch {
	case table == catalogue:
		want, err := unsealTotal(key, stored)
		if err != nil {
			c.damage(table, key, page, "not decodable")
		}
		c.want[string(key)] = want
		return
	case table == tableMeta && string(key) == metaVersion && len(v) == 8:
		c.report.Version = binary.BigEndian.Uint64(v)
	}
	c.sums[table] = c.sums[table].plus(totalOf(stored))
}

// compareSums notices pages that are sound but from another time.
func (c *checker) compareSums() {
	for name, want := range c.want {
		got := c.sums[name]
		if got == want {
			continue
		}
		bad, broken := c.broken[name]
		older := got.plus(bad) != want
		if broken && !older { // follows from the damaged records
			c.bad(name, nil, 0, "has %d sound records, should have %d", got.count, want.count)
		} else {
			c.damage(name, nil, 0, "has %d records, should have %d, or some are from an older state", got.count, want.count)
		}
	}
	for name := range c.sums {
		if _, ok := c.want[name]; !ok {
			c.damage(name, nil, 0, "is not in the list of tables")
		}
	}
	if c.report.Version == 0 {
		c.damage(tableMeta, []byte(metaVersion), 0, "is missing")
	}
}
