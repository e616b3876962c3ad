package sockets

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// TestAnotherScanFindsWhatAFirstFinds changes who holds what between the scans of one probe.
func TestAnotherScanFindsWhatAFirstFinds(t *testing.T) {
	h := probetest.Unpack(t, []byte(tables))
	root, err := h.Path("/")
	if err != nil {
		t.Fatal(err)
	}
	link := func(target, name string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Skip(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := New(0)
	for i, change := range []func(){
		func() {},
		func() {},
		func() { remove("proc/20") }, // systemd alone holds the socket of sshd
		func() { link("socket:[101]", "proc/50/fd/3") }, // and passes it to another
		func() { remove("proc/30") },                    // its worker stays
		func() { link("socket:[104]", "proc/31/fd/9") }, // a process that there was takes an orphan: told within the hour
		func() { remove("proc/40/fd/4") },
	} {
		change()
		warm, cold := probetest.Sections(probe.RootHost(root), p), probetest.Sections(probe.RootHost(root), New(0))
		if d := cmp.Diff(cold, warm); d != "" && i != 5 && i != 6 {
			t.Errorf("after change %d (-first +another):\n%s", i, d)
		}
	}
	for range maxPast + 1 {
		probetest.Sections(probe.RootHost(root), p)
	}
	if d := cmp.Diff(probetest.Sections(probe.RootHost(root), New(0)), probetest.Sections(probe.RootHost(root), p)); d != "" {
		t.Errorf("after an hour (-first +another):\n%s", d)
	}
}

func TestThoseThatHeldSocketsAreLookedAtFirst(t *testing.T) {
	p := &past{seen: map[int]bool{1: true, 5: true, 6: true}, holders: map[int]bool{0: true, 1: true, 6: true}}
	if got, want := p.order([]int{5, 6, 7, 8, 1}), []int{6, 7, 8, 1, 5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	p.runs = maxPast
	if got, want := p.order([]int{5, 6, 7, 1}), []int{5, 6, 7, 1}; !slices.Equal(got, want) || p.seen != nil {
		t.Errorf("%v, want %v, and nothing of the past", got, want)
	}
}
