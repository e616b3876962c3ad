package packages

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// rpmFixture is a database of rpmdb's tests, where its origin is told.
func rpmFixture(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("rpmdb", "testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRPMRowsEqualWhatRPMSays(t *testing.T) {
	const at = 1795344992000
	row := func(name, version, arch, source string, size int64, group string) facts.PackageRow {
		return facts.PackageRow{Name: name, Version: version, Arch: arch, Source: "rpm", SourcePackage: source,
			Vendor: "Example Vendor", SizeBytes: size, InstalledAt: at, Category: group}
	}
	want := []facts.PackageRow{
		row("base", "5-6", "x86_64", "base", 4, "System/Base"),
		row("base-libs", "5-6", "x86_64", "base", 0, "Development"),
		row("epoch", "7:2.3~rc1-4.el9", "x86_64", "epoch", 6, "System/Base"),
		row("many", "10-2", "x86_64", "many", 300, "System/Base"),
		row("python3-demo", "3.1-1", "noarch", "python3-demo", 4, "System/Base"),
	}
	for fixture, file := range map[string]string{
		"rpmdb.sqlite": "/var/lib/rpm/rpmdb.sqlite", "Packages": "/var/lib/rpm/Packages",
		"Packages-bigendian": "/usr/lib/sysimage/rpm/Packages",
	} {
		root := probetest.Tree(t, map[string]string{strings.TrimPrefix(file, "/"): string(rpmFixture(t, fixture))})
		r := probetest.Sections(probe.RootHost(root), New())["packages"]
		if r.Status != facts.StatusOK || len(r.Rows) != len(want) {
			t.Fatalf("%s: %s with %d rows: %s", fixture, r.Status, len(r.Rows), r.Reason)
		}
		for i, got := range r.Rows {
			if got := *got.(*facts.PackageRow); !reflect.DeepEqual(got, want[i]) {
				t.Errorf("%s:\ngot  %+v\nwant %+v", fixture, got, want[i])
			}
		}
	}
}

func TestRPMReadsTheLogAndMarksLanguages(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"var/lib/rpm/rpmdb.sqlite":     string(rpmFixture(t, "logged.sqlite")),
		"var/lib/rpm/rpmdb.sqlite-wal": string(rpmFixture(t, "logged.sqlite-wal")),
	})
	got, err := readRPM(t.Context(), probe.RootHost(root))
	if err != nil || len(got.rows) != 6 {
		t.Errorf("%d rows, %v", len(got.rows), err)
	}
	if want := []string{"/usr/lib/python3.9/site-packages/demo-3.1.dist-info"}; !slices.Equal(got.marks, want) {
		t.Errorf("marks %q, want %q", got.marks, want)
	}
}

func TestADamagedRPMDatabaseIsPartialOrFailed(t *testing.T) {
	for fixture, file := range map[string]string{"rpmdb.sqlite": "rpmdb.sqlite", "Packages": "Packages"} {
		data := rpmFixture(t, fixture)
		for _, n := range []int{0, 10, 99, 4096, 9000, len(data) - 1} {
			root := probetest.Tree(t, map[string]string{"var/lib/rpm/" + file: string(data[:n])})
			r := probetest.Sections(probe.RootHost(root), New())["packages"]
			if r.Status.Complete() || r.Reason == "" {
				t.Errorf("%s cut at %d: %s with %d rows", fixture, n, r.Status, len(r.Rows))
			}
		}
	}
}

// TestRPMOfThisMachine asks the machine that runs the test.
func TestRPMOfThisMachine(t *testing.T) {
	out, err := exec.Command("/usr/bin/rpm", "-qa", "--qf", `%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\n`).Output()
	if err != nil {
		t.Skipf("no rpm here: %v", err)
	}
	h := probe.LiveHost()
	if !rpmFound(h) {
		t.Skip("no rpm database here")
	}
	got, err := readRPM(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, r := range got.rows {
		p := r.(*facts.PackageRow)
		have = append(have, strings.TrimSpace(p.Name+" "+p.Version+" "+p.Arch))
	}
	want := strings.FieldsFunc(strings.ReplaceAll(string(out), " (none)", ""), func(r rune) bool { return r == '\n' })
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%d packages, rpm says %d", len(have), len(want))
	}
}
