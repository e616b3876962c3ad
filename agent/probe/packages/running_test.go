package packages

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// archive makes a jar of names and contents, in turn. A name that ends in .jar is stored.
func archive(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		method := zip.Deflate
		if strings.HasSuffix(files[i], ".jar") {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: method})
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func fatJar(t testing.TB) string {
	inner := archive(t, "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties", "#x\nversion=2.14.1\r\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\n")
	osgi := archive(t, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nBundle-SymbolicName: com.sun.mail;singleton:=true\r\nBundle-Version: 1.6.2\r\n\r\n")
	return archive(t, "META-INF/MANIFEST.MF", "Implementation-Title: shop\nImplementation-Version: 4.2\n",
		"BOOT-INF/lib/log4j-core-2.14.1.jar", inner, "BOOT-INF/lib/mail.jar", osgi,
		"BOOT-INF/lib/guava-31.1-jre.jar", archive(t, "x", "y"), "BOOT-INF/lib/broken-1.0.jar", "PK")
}

func TestArchivesOfRunningJava(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"opt/shop/shop.jar":          fatJar(t),
		"opt/jdk/bin/java":           "x",
		"usr/share/java/commons.jar": fatJar(t),
		"tmp/build7/test.jar":        fatJar(t),
		"proc/42/fd/keep":            "",
		"lib/apk/db/installed":       "P:musl\nV:1\n\n",
	})
	for link, target := range map[string]string{
		"/proc/42/exe": "/opt/jdk/bin/java", "/proc/42/fd/3": "/opt/shop/shop.jar", "/proc/42/fd/4": "/usr/share/java/commons.jar", "/proc/42/fd/5": "/opt/gone.jar",
		"/proc/42/fd/6": "/tmp/build7/test.jar",
	} {
		if err := os.Symlink(target, root+link); err != nil {
			t.Skip(err)
		}
	}
	r := probetest.Sections(probe.RootHost(root), New())["packages"]
	var got []string
	for _, row := range r.Rows {
		if p := row.(*facts.PackageRow); p.Source == "maven" {
			got = append(got, fmt.Sprint(p.Name, " ", p.Version, " ", p.Locations))
		}
	}
	at := " [/opt/shop/shop.jar]"
	want := []string{"broken 1.0" + at, "com.sun.mail 1.6.2" + at, "guava 31.1-jre" + at, "org.apache.logging.log4j:log4j-core 2.14.1" + at, "shop 4.2" + at}
	if !reflect.DeepEqual(got, want) || r.Status != facts.StatusPartial || !strings.Contains(r.Reason, "broken-1.0.jar") {
		t.Errorf("%s %s\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
	}
}

func TestAProgramThatEndedIsReadAnewWhenItsFileChanges(t *testing.T) {
	jar := func(version string) string {
		return archive(t, "META-INF/MANIFEST.MF", "Implementation-Title: shop\nImplementation-Version: "+version+"\n")
	}
	root := probetest.Tree(t, map[string]string{"opt/shop/shop.jar": jar("4.2"), "proc/42/fd/keep": "", "lib/apk/db/installed": "P:musl\nV:1\n\n"})
	for link, target := range map[string]string{"/proc/42/exe": "/opt/jdk/bin/java", "/proc/42/fd/3": "/opt/shop/shop.jar"} {
		if err := os.Symlink(target, root+link); err != nil {
			t.Skip(err)
		}
	}
	p, h := &programs{}, probe.RootHost(root)
	look := func(want string) {
		t.Helper()
		p.search(t.Context(), h)
		var got []string
		for _, row := range p.list() {
			got = append(got, row.(*facts.PackageRow).Version)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("versions %q, want %q", got, want)
		}
	}
	look("4.2")
	if err := os.RemoveAll(root + "/proc/42"); err != nil {
		t.Fatal(err)
	}
	look("4.2") // a program that ended is no news
	if err := os.WriteFile(root+"/opt/shop/shop.jar", []byte(jar("4.10.1")), 0o600); err != nil {
		t.Fatal(err)
	}
	look("4.10.1")
	if err := os.Remove(root + "/opt/shop/shop.jar"); err != nil {
		t.Fatal(err)
	}
	look("")
}

func TestProgramsThatDoNotRunAreKnownAfterARestart(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"opt/shop/shop.jar": fatJar(t), "proc/42/fd/keep": "", "lib/apk/db/installed": "P:musl\nV:1\n\n"})
	for link, target := range map[string]string{"/proc/42/exe": "/opt/jdk/bin/java", "/proc/42/fd/3": "/opt/shop/shop.jar"} {
		if err := os.Symlink(target, root+link); err != nil {
			t.Skip(err)
		}
	}
	h := probe.RootHost(root)
	before := probetest.Sections(h, New())["packages"].Rows
	if err := os.RemoveAll(root + "/proc/42"); err != nil {
		t.Fatal(err)
	}
	if n := len(probetest.Sections(h, New())["packages"].Rows); n != 1 {
		t.Errorf("%d rows without a memory, want that of apk alone", n)
	}
	restarted := New()
	restarted.(*packages).Remember(before)
	for range 2 { // once read they are known like any others
		if now := probetest.Sections(h, restarted)["packages"].Rows; len(before) != 6 || !reflect.DeepEqual(now, before) {
			t.Errorf("%d rows before, %d after the restart", len(before), len(now))
		}
	}
	if err := os.Remove(root + "/opt/shop/shop.jar"); err != nil {
		t.Fatal(err)
	}
	restarted = New()
	restarted.(*packages).Remember(before)
	if n := len(probetest.Sections(h, restarted)["packages"].Rows); n != 1 {
		t.Errorf("%d rows of an archive that is gone, want that of apk alone", n)
	}
}

func TestModulesOfAGoProgram(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	f, err := probe.LiveHost().OpenAt(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if runtime.GOOS != "linux" {
		t.Skip("programs are ELF files on Linux only")
	}
	rows, err := readGo(t.Context(), f)
	seen := make(map[string]string)
	for _, r := range rows {
		seen[r.Name] = r.Version
	}
	if err != nil || seen["stdlib"] != runtime.Version() || seen["atalaya"] == "" {
		t.Errorf("%v, %v", seen, err)
	}
}

func TestABombIsNotUnpacked(t *testing.T) {
	names := make([]string, 0, 2*(maxEntries+1))
	for i := range maxEntries + 1 {
		names = append(names, fmt.Sprint(i), "")
	}
	many := archive(t, names...)
	huge := archive(t, "META-INF/maven/g/a/pom.properties", "groupId=g\nartifactId=a\nversion=1\n"+strings.Repeat("#", 50<<20))
	for name, data := range map[string]string{"many": many, "huge": huge} {
		j := jar{texts: new(texts)}
		var err error
		grown := probetest.Allocated(func() { err = j.read(t.Context(), strings.NewReader(data), int64(len(data)), "/x/bomb-1.jar", 0) })
		if grown > 4<<20 || len(j.rows) == 0 || (name == "many") != (err != nil) {
			t.Errorf("%s: %d bytes, %d rows, %v", name, grown, len(j.rows), err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte(fatJar(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := jar{texts: new(texts)}
		_ = j.read(t.Context(), bytes.NewReader(data), int64(len(data)), "/x/y-1.jar", 0)
	})
}

func FuzzGoInfo(f *testing.F) {
	elf := make([]byte, 0x400)
	copy(elf, "\x7fELF\x02\x01\x01")
	elf[41], elf[60], elf[62] = 1, 2, 0 // sections at 0x100, two of them, names in the first
	elf[0x118], elf[0x119], elf[0x120] = 0, 2, 32
	copy(elf[0x200:], ".go.buildinfo\x00")
	elf[0x158], elf[0x159], elf[0x160] = 0x40, 2, 64
	copy(elf[0x240:], goMagic+"\x08\x02")
	copy(elf[0x260:], "\x08go1.26.0\x00")
	f.Add(elf)
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := goInfo(bytes.NewReader(data))
		if err == nil {
			parseGo(info)
		}
		parseGo(data)
	})
}
