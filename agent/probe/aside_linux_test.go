package probe

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAHelperReadsFiles(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"a.conf": "one\n", "b c.conf": "two", "c.txt": "three", "largest.conf": strings.Repeat("x", maxData)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := helped(t, "works")
	got, err := h.Aside(t.Context(), dir+"/*.conf")
	if names := slices.Sorted(maps.Keys(got)); err != nil || len(names) != 3 || string(got[dir+"/b c.conf"]) != "two" || len(got[dir+"/largest.conf"]) != maxData {
		t.Errorf("%v, %v", names, err)
	}
	if err := os.WriteFile(dir+"/huge.conf", make([]byte, maxData+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Aside(t.Context(), dir+"/*.conf"); len(got) != 3 || err == nil || !strings.Contains(err.Error(), "huge.conf") {
		t.Errorf("with one too large: %d files, %v", len(got), err)
	}
	if got, err := h.Aside(t.Context(), dir+"/no/*.conf"); len(got) != 0 || err != nil {
		t.Errorf("of no folder: %v, %v", got, err)
	}
	for name, h := range map[string]*Host{"no helper": LiveHost(), "no program": LiveHost().WithHelper(dir + "/none")} {
		if got, err := h.Aside(t.Context(), dir+"/*.conf"); len(got) != 0 || err == nil || os.IsNotExist(err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
