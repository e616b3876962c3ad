package rpmmd

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

func goOn() error { return nil }

func named(names ...string) func([]byte) bool {
	return func(b []byte) bool {
		for _, n := range names {
			if n == string(b) {
				return true
			}
		}
		return len(names) == 0
	}
}

const onePackage = `<package type="rpm">
  <name>bash</name>
  <arch>x86_64</arch>
  <version epoch="1" ver="5.1" rel="2.el9"/>
  <packager>A &lt;a@b&gt;</packager>
  <format><rpm:vendor>Example &amp; &#83;ons</rpm:vendor>
    <rpm:provides><rpm:entry name="sh"/></rpm:provides>
    <rpm:obsoletes><rpm:entry name="oldsh" flags="LT" epoch="0" ver="2"/><rpm:entry name="other"/></rpm:obsoletes>
  </format>
</package>
`

func primary(packages string) string {
	return "<?xml version=\"1.0\"?>\n<metadata xmlns=\"x\" packages=\"1\">\n" + packages + "</metadata>"
}

func TestPackages(t *testing.T) {
	read := func(text string, names ...string) (out []Package, err error) {
		err = Packages(goOn, Reader{Reader: strings.NewReader(text)}, named(names...), func(p Package) { out = append(out, p) })
		return out, err
	}
	got, err := read(primary(onePackage), "bash", "oldsh")
	want := []Package{{Name: "bash", Version: "1:5.1-2.el9", Arch: "x86_64", Vendor: "Example & Sons", Obsoletes: []Relation{{"oldsh", "LT", "2"}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := read(primary(onePackage), "oldsh"); err != nil || len(got) != 1 {
		t.Errorf("by what it replaces: %+v, %v", got, err)
	}
	if got, err := read(primary(onePackage), "zsh"); err != nil || len(got) != 0 {
		t.Errorf("not wanted: %+v, %v", got, err)
	}
	if got, err := read(primary(strings.Repeat(onePackage, 1000)), "bash"); err != nil || len(got) != 1000 {
		t.Errorf("%d of 1000, %v", len(got), err)
	}
	whole := primary(onePackage)
	for n := range len(whole) {
		if _, err := read(whole[:n], "bash"); err == nil {
			t.Fatalf("cut at %d: no error", n)
		}
	}
	if _, err := read(whole[:40]+"\x00"+whole[40:], "bash"); err == nil {
		t.Error("NUL: no error")
	}
	if _, err := read(primary(`<package type="rpm">` + strings.Repeat("x", maxElement+1))); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("endless element: %v", err)
	}
	err = Packages(goOn, Reader{strings.NewReader(whole), 7}, named(), func(Package) {})
	if err == nil || !strings.Contains(err.Error(), "repomd.xml says 7") {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := Packages(func() error { return stop }, Reader{Reader: strings.NewReader(whole)}, named(), func(Package) {}); !errors.Is(err, stop) {
		t.Error(err)
	}
}

const oneUpdate = `<update from="x" type="security"><id>EX-1</id><updated date="2024"/><severity>Moderate</severity>
<references><reference id="CVE-2024-1" type="cve"/><reference id="7" type="bugzilla"/><reference id="CVE-2024-1" type="cve"/></references>
<pkglist><collection><package name="bash" epoch="0" version="5.1" release="2" arch="x86_64"><filename>x</filename></package>
<package name="zsh" version="1" release="2" arch="x86_64"/></collection></pkglist></update>`

func TestAdvisories(t *testing.T) {
	var got []Advisory
	err := Advisories(goOn, Reader{Reader: strings.NewReader("<updates>" + oneUpdate + "<!-- x --></updates>\n")}, named("bash"), func(a Advisory) { got = append(got, a) })
	want := []Advisory{{ID: "EX-1", Type: "security", Severity: "Moderate", CVEs: []string{"CVE-2024-1"}, Packages: []Package{{Name: "bash", Version: "5.1-2", Arch: "x86_64"}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRepomd(t *testing.T) {
	text := `<repomd><revision>1</revision><data type="primary"><checksum type="sha256">x</checksum><open-checksum type="sha256">y</open-checksum>
<location href="repodata/p.xml.gz"/><timestamp>1700000000.5</timestamp><size>5</size><open-size>77</open-size></data>
<data type="updateinfo"><location href='repodata/u.xml.zst'/><timestamp>1700000009</timestamp></data></repomd>`
	got, err := ParseRepomd([]byte(text))
	want := []Data{{"primary", "repodata/p.xml.gz", 77, 1700000000}, {"updateinfo", "repodata/u.xml.zst", 0, 1700000009}}
	if err != nil || !reflect.DeepEqual(got, want) || Newest(got) != 1700000009 {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(text) - 1 {
		if _, err := ParseRepomd([]byte(text[:n])); err == nil {
			t.Fatalf("cut at %d: no error", n)
		}
	}
}

const someModules = `---
document: modulemd
version: 2
data:
  name: perl
  stream: "5.32"
  description: >-
    text: with colon
  artifacts:
    rpms:
    - perl-4:5.32-1.el9.x86_64
    - zsh-0:1-1.el9.x86_64
  profiles:
    common:
      rpms:
      - perl-notanartifact-1-1.x86_64
...
---
document: modulemd-defaults
version: 1
data:
  module: perl
  stream: "5.32"
...
`

func TestModules(t *testing.T) {
	m, err := ReadModules(goOn, strings.NewReader(someModules), named("perl", "perl-notanartifact"))
	want := Modules{Streams: []Stream{{"perl", "5.32", []string{"perl-4:5.32-1.el9.x86_64"}}}, Defaults: map[string]string{"perl": "5.32"}}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := ReadModules(goOn, strings.NewReader(strings.TrimSuffix(someModules, "...\n")), named()); err == nil {
		t.Error("cut: no error")
	}
}

// FuzzXML holds the reader of tags to encoding/xml where that finds the text well formed.
func FuzzXML(f *testing.F) {
	f.Add([]byte(primary(onePackage)))
	f.Add([]byte("<updates>" + oneUpdate + "</updates>"))
	f.Add([]byte("<a b='&lt;'>x<!-- <c> --><![CDATA[<d>]]></a>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		for tg, rest, ok := nextTag(data); ok; tg, rest, ok = nextTag(rest) {
			tg.attribute("name")
			_ = tg.string()
			if n++; n > len(data) {
				t.Fatal("it does not end")
			}
		}
		_ = Packages(goOn, Reader{Reader: bytes.NewReader(data)}, named(), func(Package) {})
		_ = Advisories(goOn, Reader{Reader: bytes.NewReader(data)}, named(), func(Advisory) {})
		_, _ = ParseRepomd(data)
	})
}

func FuzzModules(f *testing.F) {
	f.Add([]byte(someModules))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadModules(goOn, bytes.NewReader(data), named())
		for _, s := range m.Streams {
			if err == nil && (s.Module == "" || len(s.Packages) == 0) {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestTagsAreThoseOfEncodingXML(t *testing.T) {
	text := primary(onePackage)
	dec := xml.NewDecoder(strings.NewReader(text))
	rest, ok := []byte(text), true
	for {
		token, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			return
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		var got tag
		for got.closing = true; got.closing && ok; {
			got, rest, ok = nextTag(rest)
		}
		name := start.Name.Local
		if start.Name.Space != "" {
			name = start.Name.Space + ":" + name
		}
		if string(got.name) != name {
			t.Fatalf("%q, want %q", got.name, name)
		}
		for _, a := range start.Attr {
			if v := got.attribute(a.Name.Local); v != a.Value {
				t.Errorf("%s %s: %q, want %q", name, a.Name.Local, v, a.Value)
			}
		}
	}
}

// bigPrimary is an index of 20,000 packages of some 2.5 KB, as in Fedora, gzipped.
func bigPrimary(b *testing.B) (data []byte, size int64) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	n := 0
	write := func(s string) {
		n += len(s)
		if _, err := io.WriteString(w, s); err != nil {
			b.Fatal(err)
		}
	}
	files := strings.Repeat("<file>/usr/share/doc/example/some-file-name.html</file>\n", 40)
	write("<metadata>\n")
	for i := range 20000 {
		write(strings.Replace(strings.Replace(onePackage, "bash", fmt.Sprintf("p%d", i), 1), "</format>", files+"</format>", 1))
	}
	write("</metadata>")
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes(), int64(n)
}

func BenchmarkPrimary(b *testing.B) {
	data, size := bigPrimary(b)
	names := make(map[string]bool)
	for i := range 1500 {
		names[fmt.Sprintf("p%d", i*13)] = true
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		err = Packages(goOn, Reader{r, size}, func(name []byte) bool { return names[string(name)] }, func(Package) { n++ })
		if err != nil || n != 1500 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkEncodingXML is what the same costs with the standard library.
func BenchmarkEncodingXML(b *testing.B) {
	data, size := bigPrimary(b)
	b.SetBytes(size)
	for b.Loop() {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		dec := xml.NewDecoder(r)
		for {
			if _, err := dec.RawToken(); err != nil {
				break
			}
		}
	}
}
