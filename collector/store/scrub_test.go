package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/google/go-cmp/cmp"
)

func TestScrubReadsASteadyStateWhileOthersWrite(t *testing.T) {
	s, _, base := pair(t)
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := s.Update(func(tx *Tx) error {
				return tx.Table("test.a").Put(fmt.Appendf(nil, "k%d", i%500), fmt.Appendf(nil, "%d", i))
			})
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 20 {
		if r, err := s.Scrub(); err != nil || r.Count > 0 {
			t.Errorf("%v, %v", r.Damage, err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	flip(t, s, tableHeld, sectionKey(1, facts.Users), 0)
	r, err := s.Scrub()
	if err != nil || r.Count == 0 || !r.Repairable() {
		t.Fatalf("damage: %+v, %v; want it found and mendable", r, err)
	}
	if err := s.Repair(r); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Scrub(); err != nil || r.Count > 0 {
		t.Errorf("mended: %v, %v", r.Damage, err)
	}
	out := apply(t, s, Delivery{identity.HostID{1}, batch(2, update(facts.Users, base, base)), t0})
	if d := cmp.Diff([]facts.ID{facts.Users}, out[0].Resync); d != "" {
		t.Errorf("resync (-want +got):\n%s", d)
	}
}

func TestRestoreVerifiesAndKeepsWhatWasThere(t *testing.T) {
	s, _, _ := pair(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.Create(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	want := rowsOf(t, s)
	if _, err := Restore(backup, s.path); !errors.Is(err, ErrLocked) {
		t.Errorf("while it runs: got %v, want ErrLocked", err)
	}
	apply(t, s, Delivery{identity.HostID{1}, batch(2, update(facts.Users, nil, nil)), t0})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(s.path+".high", s.path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("not a backup: got %v, want ErrCorrupt", err)
	}
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "nosuch"): "does not exist: name a file that `atalaya backup` wrote; nothing was restored",
		t.TempDir():                          "is not a file: name a file that `atalaya backup` wrote; nothing was restored",
	} {
		if _, err := Restore(path, s.path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if after, err := os.ReadFile(s.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the state is another after what was refused, %v", err)
	}
	if left, err := filepath.Glob(s.path + ".[bn]*"); err != nil || len(left) > 0 {
		t.Errorf("left beside the state: %q, %v", left, err)
	}
	kept, err := Restore(backup, s.path)
	if err != nil || kept == "" {
		t.Fatalf("got %q, %v", kept, err)
	}
	again := reopen(t, s.path)
	if d := cmp.Diff(want, rowsOf(t, again)); d != "" {
		t.Errorf("rows (-backed up +restored):\n%s", d)
	}
	err = again.View(func(tx *Tx) error {
		states, err := tx.Sections(identity.HostID{1})
		if len(states) != 1 || !states[0].Doubtful {
			t.Errorf("states %+v, want them in doubt", states)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
