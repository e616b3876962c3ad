package asset

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/collector/store"
	"atalaya/collector/store/smalldisk"
)

func TestFullDiskRefusesEditsAndKeepsWhatThereIs(t *testing.T) {
	disk := smalldisk.New(t, "1m")
	d := deskAt(t, filepath.Join(disk.Dir, store.FileName))
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
	if err != nil || len(list) != n-1 || d.Store.Trouble() == "" {
		t.Errorf("%d assets, want %d, %v, trouble %q", len(list), n-1, err, d.Store.Trouble())
	}
	disk.Grow("16m")
	d.mustSet("IT-0", "owner=Ana")
	if trouble := d.Store.Trouble(); trouble != "" {
		t.Errorf("with space again: %s", trouble)
	}
}
