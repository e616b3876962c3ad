package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// condition is how much of a table could be read of a damaged file.
type condition struct {
	want    tableTotal // by the list of tables
	listed  bool       // the list has it
	got     tableTotal // that the fresh file has
	bad     tableTotal // of records that could not be read, by the checksums that they carry
	unread  int        // pages, elements and records that could not be read
	strange int        // sound records that lie where they do not belong
}

// whole reports whether nothing of the table is missing.
func (c *condition) whole() bool {
	if c.listed {
		return c.got == c.want
	}
	return c.unread == 0 && c.strange == 0
}

// stale reports whether records may be older than they were: all that was met is sound,
// and yet it is not what was written last.
func (c *condition) stale() bool { return !c.whole() && (c.unread == 0 || c.strange > 0) }

// older reports whether records are older than they were for sure: nothing else is wrong.
func (c *condition) older() bool { return !c.whole() && c.unread == 0 && c.strange == 0 }

// proven reports whether those read are the newest: with the ones that could not be read
// they make the sum of the table.
func (c *condition) proven() bool {
	return c.whole() || c.listed && c.got.plus(c.bad) == c.want
}

// lost is how many records are missing, as far as it is known; one at least.
func (c *condition) lost() uint64 {
	if c.listed && c.want.count > c.got.count {
		return c.want.count - c.got.count
	}
	return 1
}

// salvage copies all records that can be read of a damaged file into a fresh one, heals
// that, and puts it in the place of the damaged one, which is kept. Nothing is written
// into the damaged file. A record is taken only with its checksum, which covers table,
// key and value, and where it belongs; or where the sum of the whole table proves it.
func (s *Store) salvage(r Report) error {
	aside := s.path + ".new"
	if err := errors.Join(remove(aside), roomFor(s.path, r.Bytes)); err != nil {
		return err
	}
	v, err := readDamaged(s.path, aside)
	if err == nil {
		err = s.adopt(v, r, aside)
	}
	if err != nil {
		return errors.Join(err, remove(aside))
	}
	kept := fmt.Sprintf("%s.damaged-%s", s.path, s.now().UTC().Format(keptTime))
	if err := os.Link(s.path, kept); err != nil { // a second name first: there is a state at every moment
		err = os.Rename(s.path, kept)
		if err != nil {
			return errors.Join(fmt.Errorf("keep the damaged state file: %w", err), remove(aside))
		}
	}
	if err := os.Rename(aside, s.path); err != nil {
		return fmt.Errorf("put the fresh state file in its place: %w", err)
	}
	if err := s.high.write(1, 0); err != nil { // the fresh file counts anew
		s.log.Warn("high mark not written", "err", err)
	}
	complete := true
	for _, c := range v.conditions {
		complete = complete && c.whole()
	}
	s.log.Error("the state file was damaged; what could be read was copied into a fresh one", "kept", kept, "all_records_read", complete)
	if err := dropKept(s.path); err != nil {
		s.log.Warn("older damaged state files are still there", "err", err)
	}
	return syncDir(filepath.Dir(s.path))
}

// adopt refuses what must not be served, and heals the rest in the fresh file.
func (s *Store) adopt(v *salvor, r Report, aside string) (err error) {
	if why := cmp.Or(v.why, refusal(v.conditions)); why != "" {
		r.Why = why
		return r.Err()
	}
	if s.db, err = openBolt(aside, true); err != nil {
		return fmt.Errorf("open fresh state file: %w", err)
	}
	defer func() {
		err = errors.Join(err, s.db.Sync(), s.db.Close())
		s.db = nil
	}()
	high := s.high
	s.high = nil // of the file that is damaged
	defer func() { s.high = high }()
	version := uint64(0)
	err = s.View(func(tx *Tx) (err error) {
		version, err = tx.meta(metaVersion)
		return err
	})
	if err != nil || version <= formatRows || version > formatVersion {
		return errors.Join(err, r.Err())
	}
	return s.healTables(v.conditions)
}

// salvor reads a damaged file.
type salvor struct {
	c          *checker
	w          *copier
	conditions map[string]*condition
	doubtful   map[string]bool // tables that a page shows which may be an older one
	why        string          // nothing of the file may be served

	table   string
	cond    *condition
	met     map[uint64]bool // pages of the table
	strange [][2][]byte     // records of the table that are sound but out of place
	torn    bool            // the leaf that is read: its records may be of several times
	take    func(key, stored []byte) error
	err     error
}

// guessed are records that were copied, and stay only where the sum of their table proves
// them.
type guessed struct {
	keys  [][]byte
	total tableTotal
}

// readDamaged copies what can be read of a file into a fresh one.
func readDamaged(path, aside string) (v *salvor, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read damaged state file: %w", err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read damaged state file: %w", err)
	}
	v = &salvor{c: newChecker(f, info.Size(), path), conditions: map[string]*condition{}, doubtful: map[string]bool{}}
	if !v.c.readMeta() {
		return nil, errors.Join(v.c.ioErr, v.c.report.Err())
	}
	db, err := openBolt(aside, true)
	if err != nil {
		return nil, fmt.Errorf("make fresh state file: %w", err)
	}
	v.w = &copier{db: db}
	err = errors.Join(v.all(), v.w.end(), db.Sync(), db.Close())
	if err != nil {
		return nil, FullAt(aside, fmt.Errorf("copy damaged state file: %w", err))
	}
	return v, nil
}

// all reads the tables, the list of them first.
func (v *salvor) all() error {
	roots := v.roots()
	unread, list, ok := v.cond.unread, roots[catalogue], false
	if list != nil {
		v.read(catalogue, list, func(key, stored []byte) error {
			if want, err := unsealTotal(key, stored); err == nil {
				v.conditions[string(key)] = &condition{want: want, listed: true}
			}
			return nil
		})
		ok = v.cond.unread == 0 && v.cond.strange == 0
		delete(roots, catalogue)
		delete(v.conditions, catalogue)
	}
	if unread > 0 && !ok {
		v.why = "both the list of tables and what leads to them are damaged"
		return nil
	}
	for name, value := range roots {
		if _, listed := v.conditions[name]; listed || v.rename(roots, value) {
			continue
		}
		v.conditions[name] = &condition{}
	}
	for _, name := range slices.Sorted(maps.Keys(v.conditions)) {
		if err := v.copyTable(name, roots[name]); err != nil {
			return err
		}
	}
	return v.c.ioErr
}

// roots reads the tree of all tables: name -> root and what lies within the value.
func (v *salvor) roots() map[string][]byte {
	out := map[string][]byte{}
	v.table, v.cond, v.met = "", &condition{}, map[uint64]bool{}
	v.below(v.c.root, 0, true, out)
	return out
}

func (v *salvor) below(id uint64, depth int, sure bool, out map[string][]byte) {
	n, own, ok := v.load(id)
	sure = sure && own
	if !ok || depth > maxDepth {
		v.cond.unread++
		return
	}
	for i := range n.count {
		key, value, page, _, ok := n.element(i)
		switch {
		case ok && n.branch:
			v.below(page, depth+1, sure, out)
		case ok && len(key) > 0 && len(value) >= bucketHeader:
			out[string(key)] = bytes.Clone(value)
			if !sure {
				v.doubtful[string(key)] = true
			}
		default:
			v.cond.unread++
		}
	}
}

// rename finds the listed table whose name is damaged where the file shows it: its
// records are sound under that name only.
func (v *salvor) rename(roots map[string][]byte, value []byte) bool {
	for name := range v.conditions {
		if _, there := roots[name]; there {
			continue
		}
		sound := 0
		cond := v.conditions[name]
		v.conditions[name] = &condition{}
		v.read(name, value, func(_, _ []byte) error { sound++; return nil })
		v.conditions[name] = cond
		if sound > 0 {
			roots[name] = value
			return true
		}
	}
	return false
}

// copyTable copies a table, and then what lies out of place, if that makes it whole.
func (v *salvor) copyTable(name string, value []byte) error {
	c := v.conditions[name]
	if value == nil {
		if c.want.count > 0 {
			c.unread++
		}
		return nil
	}
	v.w.table(name)
	var torn, strange guessed
	put := func(key, stored []byte, as *guessed) error {
		fresh, err := v.w.put(key, stored)
		if fresh {
			c.got = c.got.plus(totalOf(stored))
		}
		if fresh && as != nil {
			as.keys, as.total = append(as.keys, bytes.Clone(key)), as.total.plus(totalOf(stored))
		}
		return err
	}
	v.read(name, value, func(key, stored []byte) error {
		if v.torn {
			return put(key, stored, &torn)
		}
		return put(key, stored, nil)
	})
	if v.err != nil {
		return v.err
	}
	if !c.proven() {
		c.unread += len(torn.keys)
		if err := v.takeBack(c, torn); err != nil {
			return err
		}
	}
	if _, known := findPolicy(name); !c.listed && c.got.count == 0 && len(v.strange) == 0 && (!known || c.unread == 0) {
		delete(v.conditions, name) // a name that damage made: the table that had it is missed
		return nil
	}
	if !c.whole() {
		for _, r := range v.strange {
			if err := put(r[0], r[1], &strange); err != nil {
				return err
			}
		}
		if !c.whole() {
			if err := v.takeBack(c, strange); err != nil {
				return err
			}
		}
	}
	return v.w.sum(name, c.got)
}

// takeBack takes guessed records out again.
func (v *salvor) takeBack(c *condition, g guessed) error {
	for _, key := range g.keys {
		if err := v.w.drop(key); err != nil {
			return err
		}
	}
	c.got = c.got.minus(g.total)
	return nil
}

// read walks a table and gives take what is sound and in its place.
func (v *salvor) read(name string, value []byte, take func(key, stored []byte) error) {
	v.table, v.cond, v.met, v.strange, v.take, v.err = name, v.conditions[name], map[uint64]bool{}, nil, take, nil
	if v.cond == nil {
		v.cond = &condition{}
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		v.page(root, nil, nil, 0, !v.doubtful[name])
		return
	}
	if b := value[bucketHeader:]; len(b) >= pageHeader {
		if n, sure, ok := v.node(b); ok && !n.branch {
			v.walk(n, nil, nil, 0, sure && !v.doubtful[name])
			return
		}
	}
	v.cond.unread++
}

func (v *salvor) page(id uint64, low, high []byte, depth int, sure bool) {
	n, own, ok := v.load(id)
	if !ok || depth > maxDepth {
		v.cond.unread++
		return
	}
	v.walk(n, low, high, depth, sure && own)
}

// load reads a page. sure is false where something of it is not as it should be, so that
// it may be another one.
func (v *salvor) load(id uint64) (n node, sure, ok bool) {
	if id < 2 || id >= v.c.pages || v.met[id] {
		return node{}, false, false
	}
	v.met[id] = true
	head := make([]byte, pageHeader)
	if !v.c.read(head, id) {
		return node{}, false, false
	}
	span := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	sure = binary.NativeEndian.Uint64(head) == id
	if span > v.c.pages-id {
		span, sure = 1, false
	}
	b := make([]byte, span*v.c.pageSize)
	if !v.c.read(b, id) {
		return node{}, false, false
	}
	n, own, ok := v.node(b)
	return n, sure && own, ok
}

// node reads the header of a page. The first element says how many there are too.
func (v *salvor) node(b []byte) (n node, sure, ok bool) {
	flags, count := binary.NativeEndian.Uint16(b[8:]), uint64(binary.NativeEndian.Uint16(b[10:]))
	n, sure = node{branch: flags == flagBranch, count: count, b: b}, true
	if flags != flagBranch && flags != flagLeaf {
		return n, false, false
	}
	if len(b) >= pageHeader+elementSize {
		at := pageHeader
		if !n.branch {
			at += 4
		}
		if told := uint64(binary.NativeEndian.Uint32(b[at:])); told%elementSize == 0 && told > 0 && told/elementSize != count && pageHeader+told <= uint64(len(b)) {
			v.cond.unread++
			n.count, sure = told/elementSize, false
		}
	}
	if pageHeader+n.count*elementSize > uint64(len(b)) {
		return n, false, false
	}
	for i := range n.count {
		if at := pageHeader + i*elementSize; !n.branch {
			clear(b[at : at+4]) // the flags: what a record is its checksum says
		}
	}
	return n, sure, true
}

// walk reads a node and what is below it. Keys are not below low and below high.
func (v *salvor) walk(n node, low, high []byte, depth int, sure bool) {
	var last []byte
	v.torn = !n.branch && v.tears(n)
	for i := uint64(0); i < n.count && v.err == nil; i++ {
		key, value, page, _, ok := n.element(i)
		if !ok {
			v.cond.unread++
			continue
		}
		ordered := (low == nil || bytes.Compare(key, low) >= 0) && (high == nil || bytes.Compare(key, high) < 0) && (last == nil || bytes.Compare(key, last) > 0)
		if n.branch {
			next := high
			if i+1 < n.count {
				if next, _, _, _, ok = n.element(i + 1); !ok {
					next, sure = high, false
				}
			}
			if ordered {
				last = key
				v.page(page, key, next, depth+1, sure)
			} else {
				v.page(page, nil, nil, depth+1, false)
			}
			continue
		}
		if _, err := unseal(v.table, key, value); err != nil || len(key) == 0 {
			v.cond.unread++
			v.cond.bad = v.cond.bad.plus(totalOf(value))
			continue
		}
		if !ordered || !sure {
			v.cond.strange++
			v.strange = append(v.strange, [2][]byte{bytes.Clone(key), bytes.Clone(value)})
			continue
		}
		last = key
		v.err = v.take(key, value)
	}
}

// tears reports whether the records of a leaf may be of several times: one is damaged, or
// it goes over several pages, of which some may not have been written.
func (v *salvor) tears(n node) bool {
	if uint64(len(n.b)) > v.c.pageSize && policyOf(v.table).fate == askedAgain {
		return true
	}
	for i := range n.count {
		key, value, _, _, ok := n.element(i)
		if !ok {
			return true
		}
		if _, err := unseal(v.table, key, value); err != nil {
			return true
		}
	}
	return false
}
