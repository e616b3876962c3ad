package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// roomFor refuses what would fill the disk, and be done again at each start. Where free
// space cannot be read there is some.
func roomFor(path string, bytes uint64) error {
	dir := filepath.Dir(path)
	free, err := FreeBytes(dir)
	if err != nil || free >= 0 && uint64(free) >= bytes {
		return nil
	}
	return fmt.Errorf("%w of %s: the state file is damaged, and a fresh one beside it takes %d bytes, of which %d are free: free some space, then start again; nothing was written",
		ErrFull, dir, bytes, free)
}

// Damaged files that were replaced stay as FILE.damaged-TIME, the newest keptFiles of them.
const (
	keptTime  = "20060102T150405Z"
	keptFiles = 2
)

func dropKept(path string) error {
	dir, prefix := filepath.Dir(path), filepath.Base(path)+".damaged-"
	entries, err := os.ReadDir(dir) // by name, which is by time
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		at, ours := strings.CutPrefix(e.Name(), prefix)
		_, err := time.Parse(keptTime, at)
		return !ours || err != nil
	})
	var errs []error
	for _, e := range entries[:max(0, len(entries)-keptFiles)] {
		errs = append(errs, remove(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
