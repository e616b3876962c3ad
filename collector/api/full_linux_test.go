package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"atalaya/collector/api/v1"
	"atalaya/collector/query"
	"atalaya/collector/store/smalldisk"
	"atalaya/shared/wire"
)

// lines is a log that a test reads while others write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fill leaves no byte free on the disk of a folder, until the file is removed.
func fill(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	f := must[*os.File](t)(os.Create(path))
	defer f.Close()
	for block := make([]byte, 1<<16); len(block) > 0; {
		switch _, err := f.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
	return path
}

// TestRemovalOnAFullDiskChangesNothingAndSaysWhy: the list of revoked keys cannot be
// written, though the state could.
func TestRemovalOnAFullDiskChangesNothingAndSaysWhy(t *testing.T) {
	disk, log, ctx := smalldisk.New(t, "64m"), &lines{}, context.Background()
	p := &park{whole: newWholeIn(t, disk.Dir, query.Config{}, slog.NewTextHandler(log, nil))}
	m := p.enrolled("web1")
	filler := fill(t, disk.Dir)
	_, err := p.RemoveHost(ctx, m.id.String(), "sold")
	var e *v1.Error
	if !errors.As(err, &e) || e.Problem.Status != http.StatusInsufficientStorage || e.Problem.Code != v1.CodeSpace ||
		!strings.Contains(err.Error(), "no space left on the disk of "+disk.Dir+": free some space") {
		t.Errorf("removed on a full disk: %v", err)
	}
	if text := log.String(); !strings.Contains(text, "request failed") || !strings.Contains(text, "no space left on device") {
		t.Errorf("the log says: %s", text)
	}
	p.check()
	if _, code, why := p.parts.Authority.Verify(m.cert); code != wire.CodeNone {
		t.Errorf("its key is refused: %s", why)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	must[v1.RemovedHost](t)(p.RemoveHost(ctx, m.id.String(), "sold"))
	m.removed = true
	p.check()
}
