package probetest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

func TestArchivesHoldFilesFoldersAndLinks(t *testing.T) {
	h := probetest.Unpack(t, []byte(`A comment
-- no heading
-- etc/one --
first
-- --
--  --
-- etc/empty --
-- proc/99/ --
-- links --
etc/two -> one
run/x y -> /etc/one
-- etc/last --
no end of line`))
	f := func(name, want string) {
		t.Helper()
		if got, err := h.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	f("/etc/one", "first\n-- --\n--  --\n")
	f("/etc/two", "first\n-- --\n--  --\n")
	f("/run/x y", "first\n-- --\n--  --\n")
	f("/etc/empty", "")
	f("/etc/last", "no end of line")
	if info, err := h.Stat("/proc/99"); err != nil || !info.IsDir() {
		t.Errorf("an empty folder: %v, %v", info, err)
	}
	if _, err := h.Stat("/links"); err == nil {
		t.Error("the list of links is a file of the host")
	}
}

func TestWriteReplacesAndRemoves(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"etc/a": "old"})
	read := func() (string, error) {
		b, err := os.ReadFile(filepath.Join(root, "etc", "a"))
		return string(b), err
	}
	probetest.Write(t, root, "etc/a", []byte("new"))
	if got, err := read(); got != "new" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	probetest.Write(t, root, "etc/a", []byte{})
	if got, err := read(); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	probetest.Write(t, root, "etc/a", nil)
	if _, err := read(); !os.IsNotExist(err) {
		t.Errorf("removed: %v", err)
	}
}

func TestCutsEndBeforeTheLastByte(t *testing.T) {
	var got []string
	for n, cut := range probetest.Cuts("abc") {
		if n != len(cut) {
			t.Errorf("%q at %d", cut, n)
		}
		got = append(got, cut)
	}
	if s := strings.Join(got, ","); s != ",a,ab" {
		t.Errorf("got %q", s)
	}
}

func TestSamplesAreNamedWithTheirLabels(t *testing.T) {
	got, err := probetest.Samples(t, func(r *probe.Report, _ []byte) error {
		r.Sample(&metric.Load1, 0.5)
		r.Sample(&metric.CPUSeconds, 2, "1", "user")
		return nil
	}, "")
	if want := "load1 0.5\ncpu_seconds_total 1 user 2\n"; got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
