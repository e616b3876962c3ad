package rpmdb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probetest"
)

// The databases in testdata were made by rpm 4.18 (rpmbuild of five small packages,
// rpm --justdb) and by db_load of Berkeley DB 5.3, and read by rpm -qa, which said:
var installed = []string{
	"base 5-6 x86_64 epoch 0 size 4 files 3",
	"base-libs 5-6 x86_64 epoch 0 size 0 files 0",
	"epoch 2.3~rc1-4.el9 x86_64 epoch 7 size 6 files 4",
	"many 10-2 x86_64 epoch 0 size 300 files 151",
	"python3-demo 3.1-1 noarch epoch 0 size 4 files 4",
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// list reads a database the way an inventory does.
func list(db, log []byte) ([]string, error) {
	var out []string
	var wal File
	if log != nil {
		wal = bytes.NewReader(log)
	}
	err := Blobs(context.Background(), bytes.NewReader(db), wal, func(blob []byte) error {
		h, err := ParseHeader(blob)
		if err != nil {
			return err
		}
		epoch, _ := h.Int(Epoch)
		size, _ := h.Int(Size)
		if len(h.String(Name)) == 0 || len(h.String(Version)) == 0 || len(h.String(Release)) == 0 {
			return fmt.Errorf("package without name or version")
		}
		files := 0
		for range h.Files() {
			files++
		}
		out = append(out, fmt.Sprintf("%s %s-%s %s epoch %d size %d files %d", h.String(Name), h.String(Version), h.String(Release), h.String(Arch), epoch, size, files))
		return nil
	})
	slices.Sort(out)
	return out, err
}

// ndb writes the blobs of another database in the form of rpmpkg.c, of which no program
// is at hand: with a free slot, and blobs in an order of their own.
func ndb(t testing.TB, from []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	page := bytes.Repeat(append([]byte(ndbSlotMagic), make([]byte, 12)...), ndbPage/ndbSlot)
	copy(page, append([]byte(ndbMagic), make([]byte, 28)...))
	le.PutUint32(page[12:], 1)
	out, slot := page, 3
	number := uint32(0)
	err := Blobs(context.Background(), bytes.NewReader(from), nil, func(blob []byte) error {
		number++
		le.PutUint32(out[slot*ndbSlot+4:], number)
		le.PutUint32(out[slot*ndbSlot+8:], uint32(len(out)/ndbBlock))
		head := le.AppendUint32(append([]byte(ndbBlobMagic), 0, 0, 0, 0, 1, 0, 0, 0), uint32(len(blob)))
		le.PutUint32(head[4:], number)
		out = append(append(out, head...), blob...)
		out = append(out, make([]byte, (ndbBlock-(len(out)+12)%ndbBlock)%ndbBlock)...)
		out = le.AppendUint32(le.AppendUint32(out, adler32.Checksum(blob)), uint32(len(blob)))
		out = append(out, "BlbE"...)
		slot++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func databases(t testing.TB) map[string][]byte {
	sqlite := fixture(t, "rpmdb.sqlite")
	return map[string][]byte{
		"sqlite":         sqlite,
		"ndb":            ndb(t, sqlite),
		"bdb":            fixture(t, "Packages"),
		"bdb_big_endian": fixture(t, "Packages-bigendian"),
	}
}

func TestEveryContainerGivesTheHeaders(t *testing.T) {
	for name, db := range databases(t) {
		if got, err := list(db, nil); err != nil || !slices.Equal(got, installed) {
			t.Errorf("%s: %v\n%s", name, err, strings.Join(got, "\n"))
		}
	}
}

func TestWhatIsInTheLogCounts(t *testing.T) {
	db, log := fixture(t, "logged.sqlite"), fixture(t, "logged.sqlite-wal")
	want := slices.Sorted(slices.Values(append([]string{"tiny 1.0-1 noarch epoch 0 size 0 files 1"}, installed...)))
	if got, err := list(db, log); err != nil || !slices.Equal(got, want) {
		t.Errorf("with the log: %v\n%s", err, strings.Join(got, "\n"))
	}
	if got, err := list(db, nil); err != nil || !slices.Equal(got, installed) {
		t.Errorf("without it: %v\n%s", err, strings.Join(got, "\n"))
	}
	for n := 0; n < len(log); n += 1001 { // a transaction that was not written to its end does not count
		if got, err := list(db, log[:n]); err != nil || !slices.Equal(got, installed) && !slices.Equal(got, want) {
			t.Errorf("log cut at %d: %v, %d packages", n, err, len(got))
		}
	}
	log[len(log)-5] ^= 1
	if got, err := list(db, log); err != nil || !slices.Equal(got, installed) {
		t.Errorf("log with a wrong sum: %v, %d packages", err, len(got))
	}
}

// TestADamagedDatabaseNeverLooksComplete cuts each file, and fills its end with zeros.
func TestADamagedDatabaseNeverLooksComplete(t *testing.T) {
	for name, db := range databases(t) {
		for n, cut := range probetest.Cuts(db) {
			if n%97 != 0 {
				continue
			}
			if got, err := list(cut, nil); err == nil && !slices.Equal(got, installed) {
				t.Errorf("%s cut at %d of %d: %d packages and no error", name, n, len(db), len(got))
			}
			if n%970 != 0 || name == "bdb" || name == "bdb_big_endian" {
				continue // pages of zeros are free pages there
			}
			zeros := append(slices.Clone(cut), make([]byte, len(db)-n)...)
			if got, err := list(zeros, nil); err == nil && len(got) != len(installed) {
				t.Errorf("%s zeros from %d of %d: %d packages and no error", name, n, len(db), len(got))
			}
		}
	}
}

func TestTheTakersErrorEndsTheWalk(t *testing.T) {
	stop := errors.New("enough")
	for name, db := range databases(t) {
		n := 0
		err := Blobs(context.Background(), bytes.NewReader(db), nil, func([]byte) error { n++; return stop })
		if n != 1 || !errors.Is(err, stop) {
			t.Errorf("%s: %d calls, %v", name, n, err)
		}
	}
}

func FuzzBlobs(f *testing.F) {
	for _, db := range databases(f) {
		f.Add(db, []byte(nil))
	}
	f.Add(fixture(f, "logged.sqlite"), fixture(f, "logged.sqlite-wal"))
	f.Fuzz(func(_ *testing.T, db, log []byte) {
		n := 0
		_ = Blobs(context.Background(), bytes.NewReader(db), bytes.NewReader(log), func(blob []byte) error {
			if n++; n > 1000 {
				return io.EOF
			}
			useHeader(blob)
			return nil
		})
	})
}

func FuzzHeader(f *testing.F) {
	_ = Blobs(context.Background(), bytes.NewReader(fixture(f, "rpmdb.sqlite")), nil, func(blob []byte) error {
		f.Add(slices.Clone(blob))
		return nil
	})
	f.Fuzz(func(_ *testing.T, blob []byte) { useHeader(blob) })
}

func useHeader(blob []byte) {
	h, err := ParseHeader(blob)
	if err != nil {
		return
	}
	h.String(Name)
	h.Int(Size)
	for range h.Files() {
	}
}

// sqliteOfBadCells is a database of a table Packages whose leaves have nothing but cells that
// lie nowhere.
func sqliteOfBadCells(leaves int) []byte {
	const size = 64 << 10
	be := binary.BigEndian
	db := make([]byte, 2*size, (2+leaves)*size)
	copy(db, sqliteMagic)
	be.PutUint16(db[16:], 1)
	be.PutUint32(db[28:], uint32(leaves+2))
	db[100] = sqliteLeaf
	be.PutUint16(db[103:], 1)
	record := append([]byte{6, 13 + 2*5, 13 + 2*8, 13 + 2*8, 1, 12}, "tablePackagesPackages\x02"...)
	cell := append([]byte{byte(len(record)), 1}, record...)
	be.PutUint16(db[108:], uint16(size-len(cell)))
	copy(db[size-len(cell):], cell)
	root := db[size:]
	root[0] = sqliteInner
	be.PutUint16(root[3:], uint16(leaves-1))
	for i := range leaves - 1 {
		at := size - 8*(i+1)
		be.PutUint32(root[at:], uint32(3+i))
		be.PutUint16(root[12+2*i:], uint16(at))
	}
	be.PutUint32(root[8:], uint32(2+leaves))
	for range leaves {
		leaf := bytes.Repeat([]byte{0xff}, size)
		leaf[0] = sqliteLeaf
		be.PutUint16(leaf[3:], 32760)
		db = append(db, leaf...)
	}
	return db
}

func TestADatabaseOfBadRecordsCostsLittle(t *testing.T) {
	db := sqliteOfBadCells(40) // of 1.3 million
	text := ""
	grown := probetest.Allocated(func() {
		text = Blobs(t.Context(), bytes.NewReader(db), nil, func([]byte) error { return nil }).Error()
	})
	if grown > 10<<20 || len(text) > 10_000 || !strings.Contains(text, "page 3: cell at 65535") {
		t.Errorf("%d MB, error of %d bytes %.200q", grown>>20, len(text), text)
	}
}

func TestAWalkEndsWithItsTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, db := range map[string][]byte{"bad cells": sqliteOfBadCells(2), "Packages": fixture(t, "Packages")} {
		if err := Blobs(ctx, bytes.NewReader(db), nil, func([]byte) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
