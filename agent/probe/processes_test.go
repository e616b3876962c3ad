package probe

import (
	"errors"
	"slices"
	"testing"
)

func TestProcessesAreListedUpToALimit(t *testing.T) {
	files := map[string]string{"proc/2/comm": "kthreadd\n", "proc/2/task/2/children": "3 4 ", "proc/3/comm": "x", "proc/stat": "", "proc/self/comm": "x"}
	for _, pid := range []string{"1", "10", "9", "100", "0", "-5"} {
		files["proc/"+pid+"/comm"] = "x"
	}
	h := RootHost(tree(t, files))
	all := []int{1, 9, 10, 100}
	if got, err := h.Processes(4); !slices.Equal(got, all) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	got, err := h.Processes(3)
	if len(got) != 3 || !slices.IsSorted(got) || !errors.Is(err, ErrMoreProcesses) {
		t.Errorf("three of %v: %v, %v", all, got, err)
	}
	if got, err := RootHost(t.TempDir()).Processes(3); got != nil || !Absent(err) {
		t.Errorf("without /proc: %v, %v", got, err)
	}
}
