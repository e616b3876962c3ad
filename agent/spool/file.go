package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// boltOptions: the list of free pages is rebuilt at opening instead of written each
// time, which saves a quarter of the cost of a transaction. Nobody else opens the
// file: the folder is locked.
var boltOptions = &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType, Timeout: time.Second, NoStatistics: true}

// growBytes is how much the file grows at once; bbolt's own 16 MiB is for servers.
const growBytes = 256 << 10

// guard turns a panic of bbolt, and a fault in its memory map when the file was cut
// under it, into errDamaged.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged("%v", r)
		}
	}()
	return fn()
}

// diskFull tells a full disk from other faults: it goes away, and what is in the file
// stands.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// openFile opens the file, makes it when there is none, and sets it aside when it is
// damaged.
func (s *Spool) openFile() error {
	err := s.tryOpen()
	if errors.Is(err, errDamaged) {
		s.cfg.Log.Error("spool damaged", "err", err)
		err = s.replaceLocked(err)
	}
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	return nil
}

// reopenLocked closes and checks the file after a failed write. What a failed sync
// left behind is not trusted: everything is read again.
func (s *Spool) reopenLocked() error {
	if s.db != nil {
		if err := guard(s.db.Close); err != nil && !errors.Is(err, errDamaged) {
			return err
		}
		s.db = nil
	}
	if err := s.openFile(); err != nil {
		return err
	}
	s.reopen = false
	return nil
}

func (s *Spool) tryOpen() error {
	path := s.Path()
	// What a stop in the midst of a creation or compaction has left.
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notWritable(s.dir, err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := s.create(); err != nil {
			return err
		}
	}
	setBack, err := verifyFile(path)
	if err != nil {
		return err
	}
	if err := s.openBolt(); err != nil {
		return err
	}
	bad, err := s.load()
	if err == nil {
		err = s.repair(setBack, bad)
	}
	if err == nil {
		err = s.compact()
	}
	if err != nil {
		err = errors.Join(err, guard(s.db.Close))
		s.db = nil
	}
	return err
}

func (s *Spool) openBolt() error {
	return guard(func() error {
		db, err := bolt.Open(s.Path(), 0o600, boltOptions)
		if err != nil {
			return notWritable(s.dir, err)
		}
		db.AllocSize = growBytes
		s.db, s.fileSize = db, 0
		return nil
	})
}

// create makes an empty file aside and puts it in place: a half made file is one that
// bbolt panics on.
func (s *Spool) create() error {
	temp := s.Path() + ".new"
	db, err := bolt.Open(temp, 0o600, boltOptions)
	if err != nil {
		return notWritable(s.dir, err)
	}
	var epoch [8]byte
	rand.Read(epoch[:])
	st := state{epoch: binary.BigEndian.Uint64(epoch[:]), next: 1}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, t := range tables {
			if _, err := tx.CreateBucket([]byte(t)); err != nil {
				return err
			}
		}
		return putState(tx, st)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return notWritable(s.dir, errors.Join(err, os.Remove(temp)))
	}
	return s.install(temp)
}

// install puts a finished and synced file in the place of the spool's.
func (s *Spool) install(temp string) error {
	if err := os.Rename(temp, s.Path()); err != nil {
		return notWritable(s.dir, err)
	}
	return syncDir(s.dir)
}

// replaceLocked sets a damaged file aside and begins a new one, in which the loss of
// what waited in the old one is on record.
func (s *Spool) replaceLocked(cause error) error {
	lost := s.lossOfAll("spool damaged")
	for _, l := range s.losses { // on record there, and not yet told
		l.FromSeq, l.ToSeq = 0, 0
		lost = append(lost, l.Loss)
	}
	s.db = nil // not closed: after a panic bbolt still holds its locks
	aside := fmt.Sprintf("%s.damaged-%s", s.Path(), s.cfg.Now().UTC().Format("20060102-150405"))
	if err := os.Rename(s.Path(), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notWritable(s.dir, errors.Join(cause, err))
	}
	s.cfg.Log.Error("spool set aside", "file", aside)
	if err := errors.Join(removeOldDamaged(s.Path()), s.create(), s.openBolt()); err != nil {
		return err
	}
	if _, err := s.load(); err != nil {
		return err
	}
	for _, l := range lost {
		s.addLossLocked(l)
	}
	return nil
}

// keptDamaged is how many damaged files stay for inspection.
const keptDamaged = 2

func removeOldDamaged(path string) error {
	files, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(files) <= keptDamaged {
		return err
	}
	slices.Sort(files) // the time stands in the name
	for _, f := range files[:len(files)-keptDamaged] {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// lossOfAll describes the loss of everything that is known to wait; when nothing is
// known, the loss of at least one batch.
func (s *Spool) lossOfAll(reason string) []wire.Loss {
	byKind := map[wire.Kind]*wire.Loss{}
	for _, e := range s.queue {
		if e.dead {
			continue
		}
		l := byKind[e.kind]
		if l == nil {
			l = &wire.Loss{Kind: e.kind, FromAt: e.at, Reason: reason}
			byKind[e.kind] = l
		}
		l.ToAt = e.at
		l.Batches++
	}
	var out []wire.Loss
	for _, kind := range []wire.Kind{wire.KindMetrics, wire.KindInventory} {
		if l := byKind[kind]; l != nil {
			out = append(out, *l)
		}
	}
	if out == nil && s.db == nil {
		at := s.cfg.Now().UnixMilli()
		out = append(out, wire.Loss{Kind: wire.KindMetrics, FromAt: at, ToAt: at, Batches: 1, Reason: reason})
	}
	return out
}

// unreadable is what load found damaged and can do without.
type unreadable struct {
	batches  []uint64
	sections bool // rows or states of sections: all are reported anew
}

// load reads everything once and checks it, and fills the state in memory.
func (s *Spool) load() (bad unreadable, err error) {
	s.queue, s.dead, s.bytes, s.trim = nil, 0, 0, nil
	s.series, s.sections, s.losses, s.lossesAt = nil, map[facts.ID]section{}, nil, false
	err = s.view(func(tx *bolt.Tx) error {
		for _, t := range tables {
			if tx.Bucket([]byte(t)) == nil {
				return damaged("table %s is missing", t)
			}
		}
		if err := s.loadMeta(tx); err != nil {
			return err
		}
		if err := s.loadSeries(tx); err != nil {
			return err
		}
		bad.batches = s.loadBatches(tx)
		bad.sections = s.loadSections(tx) != nil
		return nil
	})
	if err != nil {
		return bad, err
	}
	if s.dict == nil {
		if !slices.ContainsFunc(s.queue, func(e entry) bool { return e.kind == wire.KindMetrics }) {
			s.series = nil // no stored batch refers to it: begin without the series that are gone
		}
		s.dict = metric.NewDictionary(s.cfg.Series, s.series)
	}
	return bad, nil
}

func (s *Spool) loadMeta(tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(tableMeta))
	payload, err := unseal(tableMeta, stateKey, meta.Get(stateKey))
	if err != nil {
		return err
	}
	if s.state, err = decodeState(payload); err != nil {
		return err
	}
	value := meta.Get(lossesKey)
	if value == nil {
		return nil
	}
	if payload, err = unseal(tableMeta, lossesKey, value); err != nil {
		return err
	}
	s.losses, err = decodeLosses(payload)
	return err
}

// loadSeries reads the dictionary. Without all of it no stored batch can be read. A
// dictionary that is in use already must be the longer one.
func (s *Spool) loadSeries(tx *bolt.Tx) error {
	err := tx.Bucket([]byte(tableSeries)).ForEach(func(k, v []byte) error {
		payload, err := unseal(tableSeries, k, v)
		if err != nil {
			return err
		}
		def, err := decodeSeries(payload)
		if err != nil {
			return err
		}
		if string(k) != string(seriesKey(uint32(len(s.series)))) {
			return damaged("series %d is missing", len(s.series))
		}
		s.series = append(s.series, def)
		return nil
	})
	if err != nil {
		return err
	}
	if s.dict != nil {
		if len(s.series) > len(s.dict.Series()) {
			return damaged("dictionary is ahead of the program")
		}
		s.series = s.dict.Series()[:len(s.series):len(s.series)]
	}
	return nil
}

func (s *Spool) loadBatches(tx *bolt.Tx) (bad []uint64) {
	c := tx.Bucket([]byte(tableBatches)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 8 {
			continue // cannot be ours: the tree was checked, and we write no other
		}
		e := entry{key: binary.BigEndian.Uint64(k), size: batchCost(v)}
		payload, err := unseal(tableBatches, k, v)
		if err == nil {
			e.kind, e.at, _, err = splitBatch(payload)
		}
		if err != nil || e.key <= s.state.first || e.key >= s.state.next {
			bad = append(bad, e.key)
			continue
		}
		s.queue = append(s.queue, e)
		s.bytes += int64(e.size)
	}
	return bad
}

func (s *Spool) loadSections(tx *bolt.Tx) error {
	err := tx.Bucket([]byte(tableSections)).ForEach(func(k, v []byte) error {
		payload, err := unseal(tableSections, k, v)
		if err != nil {
			return err
		}
		if len(k) != 2 {
			return damaged("section key %x", k)
		}
		st, err := decodeSection(payload)
		s.sections[facts.ID(binary.BigEndian.Uint16(k))] = st
		return err
	})
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(tableRows)).ForEach(func(k, v []byte) error {
		_, err := unseal(tableRows, k, v)
		return err
	})
}

// repair takes out what load found damaged, each as a loss, and what nobody refers to.
func (s *Spool) repair(setBack bool, bad unreadable) error {
	staleSeries := len(s.series) == 0 && s.hasAny(tableSeries)
	if !setBack && len(bad.batches) == 0 && !bad.sections && !staleSeries {
		return nil
	}
	for _, key := range bad.batches {
		s.trim = append(s.trim, key)
		l := wire.Loss{Kind: wire.KindMetrics, Batches: 1, Reason: "spool damaged"}
		if key > s.state.first && key < s.state.next {
			l.FromSeq, l.ToSeq = key-s.state.first, key-s.state.first
		}
		s.addLossLocked(l)
	}
	if setBack {
		// The last transaction is gone, and with it at most one append.
		s.cfg.Log.Warn("spool set back by one transaction")
		s.addLossLocked(wire.Loss{Kind: wire.KindMetrics, Batches: 1, Reason: "spool damaged"})
		s.beginEpochLocked()
	}
	c := &change{clearSeries: staleSeries}
	if bad.sections {
		s.cfg.Log.Warn("spool lost its known rows, all sections are reported anew")
		s.sections, c.clearRows = map[facts.ID]section{}, true
	}
	return s.commitLocked(c)
}

func (s *Spool) hasAny(t table) (any bool) {
	err := s.view(func(tx *bolt.Tx) error {
		k, _ := tx.Bucket([]byte(t)).Cursor().First()
		any = k != nil
		return nil
	})
	return any && err == nil
}

// compactBytes is the size from which a file that is mostly free is written anew at
// opening: bbolt never gives space back.
const compactBytes = 8 << 20

func (s *Spool) compact() error {
	info, err := os.Stat(s.Path())
	if err != nil || info.Size() < compactBytes || info.Size() < 4*s.bytes {
		return err
	}
	temp := s.Path() + ".new"
	err = guard(func() error {
		small, err := bolt.Open(temp, 0o600, boltOptions)
		if err != nil {
			return err
		}
		return errors.Join(bolt.Compact(small, s.db, 1<<20), small.Close())
	})
	if err != nil {
		// The large file is as good, only larger.
		return errors.Join(os.Remove(temp), ifDamaged(err))
	}
	if err := errors.Join(s.db.Close(), s.install(temp)); err != nil {
		return err
	}
	return s.openBolt()
}

func ifDamaged(err error) error {
	if errors.Is(err, errDamaged) {
		return err
	}
	return nil
}
