package series

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"atalaya/shared/metric"
)

// torn is the begin of a record of 255 bytes: its header and some of it.
var torn = []byte{2, 0, 255, 1, 2, 3, 4, 'h', 'a', 'l', 'f'}

// killed returns the folder of a database that was killed within a write: each of its
// logs ends in half a record. Both have samples: the late one is in wbl.
func killed(t *testing.T) (dir string) {
	t.Helper()
	written := t.TempDir()
	d := open(t, testConfig(written))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow.Add(-2*time.Hour), 1)
	put(t, d, s, testNow, 2)
	put(t, d, s, testNow.Add(-time.Hour), 3)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(written)); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{"wal", "wbl"} {
		f, err := os.OpenFile(filepath.Join(dir, log, "00000000"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(torn); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const killedPoints = "-7200=1 -3600=3 0=2"

// TestRepairThatWasCutShortLosesNothing leaves the logs as the engine's repair does when
// it ends at each of its steps, and opens them twice.
func TestRepairThatWasCutShortLosesNothing(t *testing.T) {
	const segment, aside = "00000000", "00000000" + repairSuffix
	for name, cut := range map[string]func(r *os.Root, whole []byte) error{
		"not-begun": func(*os.Root, []byte) error { return nil },
		"renamed":   func(r *os.Root, _ []byte) error { return r.Rename(segment, aside) },
		"created": func(r *os.Root, _ []byte) error {
			return errors.Join(r.Rename(segment, aside), r.WriteFile(segment, nil, 0o600))
		},
		"half-written": func(r *os.Root, b []byte) error {
			return errors.Join(r.Rename(segment, aside), r.WriteFile(segment, b[:40], 0o600))
		},
		"not-removed": func(r *os.Root, b []byte) error {
			return errors.Join(r.Rename(segment, aside), r.WriteFile(segment, b, 0o600))
		},
		"next-was-empty": func(r *os.Root, _ []byte) error {
			return errors.Join(r.Rename(segment, aside), r.WriteFile(segment, nil, 0o600), r.WriteFile("00000001", nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := killed(t)
			for _, log := range []string{"wal", "wbl"} {
				root, err := os.OpenRoot(filepath.Join(dir, log))
				if err != nil {
					t.Fatal(err)
				}
				whole, err := root.ReadFile(segment)
				if err == nil {
					err = cut(root, whole[:len(whole)-len(torn)])
				}
				if err := errors.Join(err, root.Close()); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				d := open(t, testConfig(dir))
				if got := points(t, d, "x"); got != killedPoints {
					t.Errorf("%s, want %s", got, killedPoints)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "w?l", "*"+repairSuffix)); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// TestOldRepairDoesNotReplaceWhatCameAfter: a collector that knew nothing of cut repairs
// went on with new segments.
func TestOldRepairDoesNotReplaceWhatCameAfter(t *testing.T) {
	dir := killed(t)
	aside := filepath.Join(dir, "wal", "00000000"+repairSuffix)
	d := open(t, testConfig(dir))
	put(t, d, newX(t, d), testNow.Add(time.Second), 4)
	if err := errors.Join(os.WriteFile(aside, torn, 0o600), d.Close()); err != nil {
		t.Fatal(err)
	}
	d = open(t, testConfig(dir))
	if got, want := points(t, d, "x"), killedPoints+" 1=4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
}

func newX(t *testing.T, d *DB) *Session {
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	return s
}

// TestMendLogCutsAtAnyByte cuts a log at each of its bytes, as the end of the machine may.
func TestMendLogCutsAtAnyByte(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(killed(t), "wal", "00000000"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "00000000")
	for n := range whole {
		if err := os.WriteFile(name, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		var sizes [2]int64
		for i := range sizes {
			if err := mendLog(dir, testConfig(dir).Log); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			sizes[i] = st.Size()
		}
		if sizes[0] > int64(n) || sizes[0] != sizes[1] {
			t.Errorf("of %d bytes %d are left, then %d", n, sizes[0], sizes[1])
		}
	}
}

func commitOne(t *testing.T, d *DB, at time.Time) error {
	a := d.Begin(t.Context())
	a.Append(newX(t, d), at.UnixMilli(), []metric.Sample{{Series: 0, Value: 5}})
	return a.Commit()
}
