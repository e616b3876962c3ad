package packages

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// numbered repeats a record with the number of each in it.
func numbered(n int, format string) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.Bytes()
}

func TestADatabaseOfAnySizeCostsLittle(t *testing.T) {
	const n, most = 300_000, 48 << 20
	for name, data := range map[string][]byte{
		"apk rows":     numbered(n, "P:%d\nV:1\n\n"),
		"apk marks":    numbered(n, "F:usr/lib/python3/site-packages/a-long-name-of-a-package-%d.dist-info\n"),
		"apk bad":      numbered(n, "X:%d\n\n"),
		"apk texts":    bytes.Repeat([]byte("P:"+strings.Repeat("x", 1<<20)+"\n"), 64),
		"dpkg rows":    numbered(n, "Package: %d\nStatus: install ok installed\nArchitecture: all\nMaintainer: M\nVersion: 1\n\n"),
		"dpkg removed": numbered(2*n, "Package: p%d\nStatus: deinstall ok config-files\n\n"),
		"dpkg bad":     numbered(n, "Package: %d\nStatus: x\n\n"),
	} {
		parse := ParseAPK
		if strings.HasPrefix(name, "dpkg") {
			parse = ParseDpkg
		}
		var rows []facts.Row
		var err error
		var text string
		grown := probetest.Allocated(func() {
			rows, err = parse(data)
			if err != nil {
				text = err.Error()
			}
		})
		if grown > most || len(rows) > maxRows || err == nil || len(text) > 10_000 {
			t.Errorf("%s: %d MB for %d MB, %d rows, %d bytes of error %.100q", name, grown>>20, len(data)>>20, len(rows), len(text), text)
		}
		if strings.HasSuffix(name, "rows") && (len(rows) != maxRows || !strings.Contains(text, "more than 50000 packages")) {
			t.Errorf("%s: %d rows, %s", name, len(rows), text)
		}
	}
}

func TestADatabaseOfTheLimitIsWhole(t *testing.T) {
	if rows, err := ParseAPK(numbered(maxRows-1, "P:%d\nV:1\n\n")); len(rows) != maxRows-1 || err != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestReadersEndWithTheirTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, read := range map[string]func() (int, error){
		"apk": func() (int, error) {
			got, err := parseAPK(ctx, bytes.NewReader(numbered(10_000, "P:%d\nV:1\n\n")))
			return len(got.rows), err
		},
		"dpkg": func() (int, error) {
			rows, _, err := parseDpkg(ctx, bytes.NewReader(numbered(10_000, "Package: %d\nStatus: install ok installed\nVersion: 1\n\n")))
			return len(rows), err
		},
		"jar": func() (int, error) {
			j := jar{texts: new(texts)}
			data := fatJar(t)
			return len(j.rows), j.read(ctx, strings.NewReader(data), int64(len(data)), "/x/shop.jar", 0)
		},
	} {
		if n, err := read(); n > 2*askEvery || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %d rows, %v", name, n, err)
		}
	}
}

func TestAnArchiveListsNoMoreThanItsLimit(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	const n = 200_000
	for i := range n {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	for _, at := range []int{8, 10} { // it says that it lists one
		binary.LittleEndian.PutUint16(data[end+at:], 1)
	}
	j := jar{texts: new(texts)}
	var err error
	grown := probetest.Allocated(func() { err = j.read(t.Context(), bytes.NewReader(data), int64(len(data)), "/x/bomb-1.jar", 0) })
	if grown > 40<<20 || !errors.Is(err, errLong) || len(j.rows) != 1 {
		t.Errorf("%d MB for a list of %d, %d rows, %v", grown>>20, n, len(j.rows), err)
	}
	// Archives in an archive share what it may cost.
	inner := archive(t, "a", "b")
	j = jar{texts: new(texts), listed: maxDirectories}
	if err := j.read(t.Context(), strings.NewReader(inner), int64(len(inner)), "/x/a-1.jar", 1); !errors.Is(err, errLong) {
		t.Errorf("%v", err)
	}
}

func TestADamagedArchiveIsToldInEverySearch(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"opt/shop/shop.jar": fatJar(t), "proc/42/fd/keep": "", "lib/apk/db/installed": "P:musl\nV:1\n\n"})
	for link, target := range map[string]string{"/proc/42/exe": "/opt/jdk/bin/java", "/proc/42/fd/3": "/opt/shop/shop.jar"} {
		if err := os.Symlink(target, root+link); err != nil {
			t.Skip(err)
		}
	}
	h, p := probe.RootHost(root), New()
	for range 3 {
		r := probetest.Sections(h, p)["packages"]
		if r.Status != facts.StatusPartial || !strings.Contains(r.Reason, "broken-1.0.jar") || len(r.Rows) != 6 {
			t.Errorf("%s %q, %d rows", r.Status, r.Reason, len(r.Rows))
		}
		if err := os.WriteFile(root+"/lib/apk/db/installed", []byte("P:musl\nV:1\n\n"), 0o600); err != nil { // changed: all is searched
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/opt/shop/shop.jar", []byte(archive(t, "META-INF/MANIFEST.MF", "Implementation-Title: shop\nImplementation-Version: 5\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.(*packages).searched = p.(*packages).searched.Add(-searchEvery)
	if r := probetest.Sections(h, p)["packages"]; r.Status != facts.StatusOK {
		t.Errorf("mended: %s %q", r.Status, r.Reason)
	}
}

func TestASearchSaysThatItsTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := programs{}
	p.search(ctx, probe.RootHost(probetest.Tree(t, map[string]string{"proc/42/fd/keep": ""})))
	if !errors.Is(p.problem, context.Canceled) || strings.Contains(p.problem.Error(), "processes") {
		t.Errorf("%v", p.problem)
	}
}

func TestAContainerTakesItsShareOnly(t *testing.T) {
	files := map[string]string{"proc/7/root/etc/os-release": "ID=alpine\n" + strings.Repeat("ABCDEFG\n", 1<<20)}
	for i, db := range []string{string(numbered(200_000, "P:%d\nV:1\n\n")), string(numbered(30_000, "P:%d\nV:1\n\n")), string(numbered(30_000, "P:%d\nV:1\n\n")), "P:musl\nV:1\n\n"} {
		id := strings.Repeat(fmt.Sprint(i), 64)
		files["sys/fs/cgroup/docker-"+id+".scope/cgroup.procs"] = fmt.Sprintf("%d\n", 7+i)
		files[fmt.Sprintf("proc/%d/root/lib/apk/db/installed", 7+i)] = db
	}
	h, p := probe.RootHost(probetest.Tree(t, files)), NewContainers().(*containers)
	for range 2 {
		var r probetest.Section
		grown := probetest.Allocated(func() { r = probetest.Sections(h, p)["container_packages"] })
		if len(r.Rows) != maxRows || r.Status != facts.StatusPartial || grown > 200<<20 {
			t.Errorf("%d rows, %s %q, %d MB", len(r.Rows), r.Status, r.Reason, grown>>20)
		}
		for _, want := range []string{"000000000000: apk: more than 50000 packages", "111111111111: 10000 packages left out", "333333333333: left out"} {
			if !strings.Contains(r.Reason, want) {
				t.Errorf("reason %q lacks %q", r.Reason, want)
			}
		}
	}
	if grown := probetest.Allocated(func() { release(mustWithin(t, h, "/proc/7/root")) }); grown > 6<<20 { // the file has 8
		t.Errorf("%d MB for an os-release", grown>>20)
	}
}

func mustWithin(t *testing.T, h *probe.Host, dir string) *probe.Host {
	t.Helper()
	inside, err := h.Within(dir)
	if err != nil {
		t.Fatal(err)
	}
	return inside
}

func TestPlacesOfALanguageKeepNoMoreThanAreReported(t *testing.T) {
	root := t.TempDir()
	place := root + "/usr/lib/python3/dist-packages"
	if err := os.MkdirAll(place, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range maxMarks + 10 {
		if err := os.Symlink("x", fmt.Sprintf("%s/a%d.dist-info", place, i)); err != nil {
			t.Skip(err)
		}
	}
	l := languages{}
	for range 2 {
		l.search(t.Context(), probe.RootHost(root), nil, false)
		n := 0
		for _, p := range l.places {
			n += len(p.marks)
		}
		if err := l.lack.err(); n != maxMarks || err == nil || !strings.Contains(err.Error(), "10 packages of languages left out: limit is 20000") || l.complete {
			t.Errorf("%d marks are kept, %v", n, err)
		}
	}
}
