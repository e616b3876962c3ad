package packages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const server = "debian-12-software"

func TestPackagesOfARealHost(t *testing.T) {
	probetest.Golden(t, server, New())
}

// TestCountEqualsDpkg asks the machine that runs the test.
func TestCountEqualsDpkg(t *testing.T) {
	out, err := exec.Command("/usr/bin/dpkg-query", "-W", "-f", "${db:Status-Abbrev}\n").Output()
	if err != nil {
		t.Skipf("no dpkg here: %v", err)
	}
	want := strings.Count("\n"+string(out), "\nii ")
	data, err := os.ReadFile(dpkgStatus)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ParseDpkg(data)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, r := range rows {
		if p := r.(*facts.PackageRow); p.State == "" && !p.Held {
			got++
		}
	}
	if got != want {
		t.Errorf("%d packages, dpkg-query says %d", got, want)
	}
}

func TestACutStatusFileNeverLooksComplete(t *testing.T) {
	files := probetest.Files(t, server)
	status := files["var/lib/dpkg/status"]
	root := probetest.Tree(t, files)
	for n, cut := range probetest.Cuts(status) {
		_, err := ParseDpkg([]byte(cut))
		if n > 0 && !strings.HasSuffix(cut, "\n\n") {
			if err == nil {
				t.Fatalf("cut at %d of %d: no error", n, len(status))
			}
			continue
		}
		// Between two stanzas the file lists tell.
		probetest.Write(t, root, dpkgStatus, []byte(cut))
		if r := probetest.Sections(probe.RootHost(root), New())["packages"]; r.Status.Complete() {
			t.Errorf("cut at %d of %d: status %s with %d rows", n, len(status), r.Status, len(r.Rows))
		}
	}
}

func TestDamagedDatabasesGiveAReason(t *testing.T) {
	files := probetest.Files(t, server)
	status := files["var/lib/dpkg/status"]
	half := len(status) / 2
	for name, damage := range map[string]func(root string) error{
		"nul_filled": func(root string) error {
			return os.WriteFile(filepath.Join(root, dpkgStatus), []byte(status[:half]+strings.Repeat("\x00", len(status)-half)), 0o644)
		},
		"sparse": func(root string) error { return os.Truncate(filepath.Join(root, dpkgStatus), 2<<30) },
		"empty":  func(root string) error { return os.Truncate(filepath.Join(root, dpkgStatus), 0) },
		"a_folder": func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, dpkgStatus)), os.Mkdir(filepath.Join(root, dpkgStatus), 0o755))
		},
		"only_the_backup": func(root string) error {
			return os.Rename(filepath.Join(root, dpkgStatus), filepath.Join(root, dpkgStatus+"-old"))
		},
		"huge_line": func(root string) error {
			return os.WriteFile(filepath.Join(root, dpkgStatus), []byte("Package: "+strings.Repeat("x", 1<<20)), 0o644)
		},
		"no_version": func(root string) error {
			return os.WriteFile(filepath.Join(root, dpkgStatus), []byte(status+"Package: x\nStatus: install ok installed\n\n"), 0o644)
		},
		"journal": func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, dpkgUpdates), 0o755),
				os.WriteFile(filepath.Join(root, dpkgUpdates, "0001"), nil, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := probetest.Tree(t, files)
			if err := damage(root); err != nil {
				t.Fatal(err)
			}
			r := probetest.Sections(probe.RootHost(root), New())["packages"]
			if r.Status != facts.StatusPartial && r.Status != facts.StatusFailed || r.Reason == "" {
				t.Errorf("status %s, reason %q", r.Status, r.Reason)
			}
		})
	}
}

func TestNoPackageSystemIsUnsupported(t *testing.T) {
	if r := probetest.Sections(probe.RootHost(t.TempDir()), New())["packages"]; r.Status != facts.StatusUnsupported {
		t.Errorf("status %s, %s", r.Status, r.Reason)
	}
}

func TestDistrolessImagesListOneFilePerPackage(t *testing.T) {
	stanza := "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\nMaintainer: M\n"
	root := probetest.Tree(t, map[string]string{
		"var/lib/dpkg/status.d/tzdata":         stanza,
		"var/lib/dpkg/status.d/tzdata.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/x\n",
	})
	r := probetest.Sections(probe.RootHost(root), New())["packages"]
	if r.Status != facts.StatusOK || len(r.Rows) != 1 || r.Rows[0].(*facts.PackageRow).Version != "2024a-0+deb12u1" {
		t.Errorf("%+v", r)
	}
	for n, cut := range probetest.Cuts(stanza) {
		probetest.Write(t, root, dpkgStatusDir+"/tzdata", []byte(cut))
		if r := probetest.Sections(probe.RootHost(root), New())["packages"]; r.Status.Complete() && !strings.HasSuffix(cut, "\n") {
			t.Errorf("cut at %d: status %s", n, r.Status)
		}
	}
}

func TestSeveralSystemsAreMerged(t *testing.T) {
	files := probetest.Files(t, server)
	files["lib/apk/db/installed"] = "P:musl\nV:1.2.5-r0\nA:x86_64\n\n"
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["packages"]
	seen := make(map[string]int)
	for _, row := range r.Rows {
		seen[row.(*facts.PackageRow).Source]++
	}
	if r.Status != facts.StatusOK || seen["dpkg"] == 0 || seen["apk"] != 1 {
		t.Errorf("status %s, rows %v", r.Status, seen)
	}
}

func TestUnchangedDatabasesAreNotReadAgain(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, server))
	p := New()
	before := probetest.Sections(probe.RootHost(root), p)["packages"]
	again := probetest.Sections(probe.RootHost(root), p)["packages"]
	if before.Rows[0] != again.Rows[0] {
		t.Error("rows were made anew")
	}
	name := filepath.Join(root, dpkgStatus)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	extra := "Package: new\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
	if err := os.WriteFile(name+"-new", append(data, extra...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"-new", name); err != nil {
		t.Fatal(err)
	}
	if after := probetest.Sections(probe.RootHost(root), p)["packages"]; len(after.Rows) != len(before.Rows)+1 {
		t.Errorf("%d rows after an installation, %d before", len(after.Rows), len(before.Rows))
	}
}

const apkSample = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:400000\nI:667648\nT:the musl c library\no:musl\nm:Maintainer <m@example.org>\nF:lib\nR:ld-musl-x86_64.so.1\n\n" +
	"P:curl\nV:8.9.0-r0\nA:x86_64\nI:1000\no:curl\n\n"

func TestParseAPK(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"lib/apk/db/installed": apkSample, "etc/apk/world": "alpine-base\ncurl>8\n"})
	r := probetest.Sections(probe.RootHost(root), New())["packages"]
	if r.Status != facts.StatusOK || len(r.Rows) != 2 {
		t.Fatalf("%+v", r)
	}
	want := []facts.PackageRow{
		{Name: "curl", Version: "8.9.0-r0", Arch: "x86_64", Source: "apk", SourcePackage: "curl", SizeBytes: 1000},
		{Name: "musl", Version: "1.2.5-r0", Arch: "x86_64", Source: "apk", SourcePackage: "musl", SizeBytes: 667648, Vendor: "Maintainer <m@example.org>", Auto: true},
	}
	for i, row := range r.Rows {
		if got := *row.(*facts.PackageRow); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
	for n, cut := range probetest.Cuts(apkSample) {
		if _, err := ParseAPK([]byte(cut)); err == nil && n > 0 && !strings.HasSuffix(cut, "\n\n") {
			t.Errorf("cut at %d: no error", n)
		}
	}
}

const pacmanSample = "%NAME%\nzlib\n\n%VERSION%\n1:1.3.1-2\n\n%BASE%\nzlib\n\n%ARCH%\nx86_64\n\n%PACKAGER%\nP <p@example.org>\n\n%SIZE%\n346000\n\n%INSTALLDATE%\n1700000000\n\n%REASON%\n1\n\n%DEPENDS%\nglibc\n\n"

func TestParsePacman(t *testing.T) {
	rows, err := ParsePacman([]byte(pacmanSample))
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	want := facts.PackageRow{Name: "zlib", Version: "1:1.3.1-2", Arch: "x86_64", Source: "pacman", SourcePackage: "zlib",
		Vendor: "P <p@example.org>", SizeBytes: 346000, InstalledAt: 1700000000000, Auto: true}
	if got := *rows[0].(*facts.PackageRow); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	root := probetest.Tree(t, map[string]string{
		pacmanLocal + "/ALPM_DB_VERSION":     "9\n",
		pacmanLocal + "/zlib-1:1.3.1-2/desc": pacmanSample,
		pacmanLocal + "/gone-1-1/files":      "%FILES%\n",
	})
	if r := probetest.Sections(probe.RootHost(root), New())["packages"]; r.Status != facts.StatusPartial || !strings.Contains(r.Reason, "gone-1-1") {
		t.Errorf("status %s, %s", r.Status, r.Reason)
	}
}

func FuzzParseDpkg(f *testing.F) {
	f.Add([]byte(probetest.Files(f, server)["var/lib/dpkg/status"]))
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := ParseDpkg(data)
		if err == nil && len(data) > 0 && !strings.HasSuffix("\n"+string(data), "\n\n") {
			t.Errorf("%q looks complete", data)
		}
		for _, r := range rows {
			if p := r.(*facts.PackageRow); p.Name == "" || p.Version == "" {
				t.Errorf("row without name or version: %+v", p)
			}
		}
	})
}

func FuzzParseOthers(f *testing.F) {
	f.Add(apkSample)
	f.Add(pacmanSample)
	f.Fuzz(func(t *testing.T, s string) {
		apk, _ := ParseAPK([]byte(s))
		pacman, _ := ParsePacman([]byte(s))
		for _, r := range append(apk, pacman...) {
			if p := r.(*facts.PackageRow); p.Name == "" || p.Version == "" {
				t.Errorf("row without name or version: %+v", p)
			}
		}
	})
}

// benchStatus has 911 packages, as many as the machine of the budget.
func benchStatus(b *testing.B) []byte {
	stanzas := strings.SplitAfter(probetest.Files(b, server)["var/lib/dpkg/status"], "\n\n")
	var s strings.Builder
	for i := range 911 {
		s.WriteString(strings.Replace(stanzas[i%(len(stanzas)-1)], "Package: ", fmt.Sprintf("Package: p%d-", i), 1))
	}
	return []byte(s.String())
}

func BenchmarkParseDpkg911(b *testing.B) {
	data := benchStatus(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDpkg(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnchanged is another look of the probe at this machine's databases.
func BenchmarkUnchanged(b *testing.B) {
	h, p, r := probe.LiveHost(), New(), probe.NewReport(nil, 0)
	if err := p.Collect(b.Context(), h, r); err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if err := p.Collect(b.Context(), h, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstLook reads all of this machine's databases.
func BenchmarkFirstLook(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := New().Collect(b.Context(), probe.LiveHost(), probe.NewReport(nil, 0)); err != nil {
			b.Skip(err)
		}
	}
}

func TestALostStatusFileIsAFailureAndNotAnotherSystem(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg/info"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := probetest.Sections(probe.RootHost(root), New())["packages"]
	if r.Status != facts.StatusFailed || len(r.Rows) != 0 {
		t.Errorf("%v with %d rows: %s", r.Status, len(r.Rows), r.Reason)
	}
}
