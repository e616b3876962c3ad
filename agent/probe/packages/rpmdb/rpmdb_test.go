package rpmdb

import (
	"bytes"
	"compress/gzip"
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
	err := Blobs(bytes.NewReader(db), wal, func(blob []byte) error {
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
	err := Blobs(bytes.NewReader(from), nil, func(blob []byte) error {
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
		err := Blobs(bytes.NewReader(db), nil, func([]byte) error { n++; return stop })
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
		_ = Blobs(bytes.NewReader(db), bytes.NewReader(log), func(blob []byte) error {
			if n++; n > 1000 {
				return io.EOF
			}
			useHeader(blob)
			return nil
		})
	})
}

func FuzzHeader(f *testing.F) {
	_ = Blobs(bytes.NewReader(fixture(f, "rpmdb.sqlite")), nil, func(blob []byte) error {
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
