// Package rpmdb reads the databases of rpm without its program: the headers of the
// installed packages, from each of the three containers in which rpm keeps them
// (Berkeley DB hash, ndb, SQLite), and of a header the few tags that an inventory
// needs.
//
// It reads pages as it needs them, holds one header at a time, takes no lock and writes
// nothing. Everything in a file is taken for hostile: every offset is checked, every
// chain of pages has an end. What could be read stands before an error.
//
// Formats: https://rpm-software-management.github.io/rpm/manual/format_header.html,
// lib/backend/ndb/rpmpkg.c of rpm, https://www.sqlite.org/fileformat2.html,
// dbinc/db_page.h of Berkeley DB 5.3.
package rpmdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"atalaya/agent/probe"
)

// File is a database file.
type File interface {
	io.ReaderAt
	Size() int64
}

const (
	// maxBlob bounds one header. That of a package with 100,000 files has 20 MB.
	maxBlob = 32 << 20
	// maxBad is after how many damaged records a database is given up.
	maxBad = 10_000
)

// errStop ends a walk whose taker wants no more.
var errStop = errors.New("stopped")

// damage is what a walk cannot read.
type damage struct {
	ctx      context.Context
	bad      int
	problems probe.Problems
}

// note goes on behind what cannot be read, unless there is too much of it or no more time:
// then it says so.
func (d *damage) note(err error) error {
	d.problems.Add(err)
	if d.bad++; d.bad > maxBad {
		return fmt.Errorf("more than %d records are damaged", maxBad)
	}
	return d.ctx.Err()
}

// end is what was wrong with a walk that ended with err.
func (d *damage) end(err error) error {
	d.problems.Add(err)
	return d.problems.Err()
}

// Blobs calls each with the headers in a database, whose kind it finds out. wal is the
// write-ahead log beside an SQLite database, nil if there is none. A blob is valid
// during the call only; an error of each ends the walk and is returned, as does the end of ctx.
func Blobs(ctx context.Context, db, wal File, each func(blob []byte) error) error {
	db = &ahead{file: db}
	var head [32]byte
	if n, err := db.ReadAt(head[:], 0); n < len(head) {
		return fmt.Errorf("too short for a database: %d bytes (%w)", n, noEOF(err))
	}
	switch {
	case string(head[:16]) == sqliteMagic:
		return readSQLite(ctx, db, wal, each)
	case string(head[:4]) == ndbMagic:
		return readNDB(ctx, db, head[:], each)
	case binary.LittleEndian.Uint32(head[12:]) == bdbHashMagic:
		return readBDB(ctx, db, binary.LittleEndian, each)
	case binary.BigEndian.Uint32(head[12:]) == bdbHashMagic:
		return readBDB(ctx, db, binary.BigEndian, each)
	}
	return errors.New("neither an SQLite, nor an ndb, nor a Berkeley DB hash database")
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readFull fills buf from a place in the file.
func readFull(f io.ReaderAt, buf []byte, at int64) error {
	if at < 0 {
		return fmt.Errorf("offset %d", at)
	}
	if n, err := f.ReadAt(buf, at); n < len(buf) {
		return fmt.Errorf("read at %d: %w", at, noEOF(err))
	}
	return nil
}

// grow returns a buffer of n bytes, buf if it has the room.
func grow(buf []byte, n int) []byte {
	if n > cap(buf) {
		return make([]byte, n)
	}
	return buf[:n]
}

// aheadBytes are read at once: the pages of one header mostly lie in a row.
const aheadBytes = 32 << 10

// ahead is a file that is read in larger parts than is asked for. A part that cannot
// be read whole is no reason to fail: what was asked for may be in it.
type ahead struct {
	file File
	buf  []byte
	at   int64 // of buf in the file
}

// Size implements File.
func (a *ahead) Size() int64 { return a.file.Size() }

// ReadAt implements io.ReaderAt.
func (a *ahead) ReadAt(p []byte, at int64) (int, error) {
	if len(p) > aheadBytes/2 {
		return a.file.ReadAt(p, at)
	}
	if at < a.at || at+int64(len(p)) > a.at+int64(len(a.buf)) {
		a.buf = grow(a.buf, aheadBytes)
		n, err := a.file.ReadAt(a.buf, at)
		a.buf, a.at = a.buf[:n], at
		if n < len(p) {
			return copy(p, a.buf), err
		}
	}
	return copy(p, a.buf[at-a.at:]), nil
}
