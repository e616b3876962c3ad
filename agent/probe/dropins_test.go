package probe

import (
	"io/fs"
	"slices"
	"testing"
)

func TestDropInsOfTheFirstFolderCount(t *testing.T) {
	h := RootHost(tree(t, map[string]string{"a/20-b.conf": "", "a/README": "", "b/10-z.conf": "", "b/20-b.conf": "", "c/30.conf": ""}))
	got := DropIns([]string{"/a", "/none", "/b", "/c"}, func(folder string) []fs.DirEntry {
		entries, _ := h.ReadDir(folder) // one of them is not there
		return entries
	})
	if want := []string{"/b/10-z.conf", "/a/20-b.conf", "/c/30.conf"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKernelThreads(t *testing.T) {
	h := RootHost(tree(t, map[string]string{"proc/2/comm": "kthreadd\n", "proc/2/task/2/children": "3 4 x 17 "}))
	if got := h.kernelThreads(); len(got) != 4 || !got[2] || !got[17] || got[5] {
		t.Errorf("%v", got)
	}
	if got := RootHost(tree(t, map[string]string{"proc/2/comm": "bash\n", "proc/2/task/2/children": "3\n"})).kernelThreads(); got != nil {
		t.Errorf("of a container: %v", got)
	}
}
