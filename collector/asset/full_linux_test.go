package asset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"atalaya/collector/store"
)

func TestFullDiskRefusesEditsAndKeepsWhatThereIs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	d := &desk{t: t, now: t0, path: filepath.Join(dir, store.FileName)}
	d.open()
	defer d.s.Close() // the test is over
	notes := strings.Repeat("x", 7000)
	var err error
	n := 0
	for ; n < 1000 && err == nil; n++ {
		_, err = d.Add(Edit{By: "ana", Set: values(fmt.Sprintf("asset_tag=IT-%d", n), "notes="+notes)})
	}
	refused(t, err, store.ErrFull, "free some space, nothing was written")
	_, err = d.load("asset_tag,notes\nIT-x," + strings.Repeat(notes, 1) + "\n")
	refused(t, err, store.ErrFull)
	list, _, err := d.Assets(Query{})
	if err != nil || len(list) != n-1 || d.s.Trouble() == "" {
		t.Errorf("%d assets, want %d, %v, trouble %q", len(list), n-1, err, d.s.Trouble())
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	d.mustSet("IT-0", "owner=Ana")
	if trouble := d.s.Trouble(); trouble != "" {
		t.Errorf("with space again: %s", trouble)
	}
}
