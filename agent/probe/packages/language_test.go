package packages

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const (
	metadata = "Metadata-Version: 2.1\nName: requests\nVersion: 2.28.1\nAuthor: Kenneth\nLicense: Apache 2.0\n\nName: not-this\n"
	gemspec  = "# -*- encoding: utf-8 -*-\n# stub: rake 13.0.6 ruby lib\n\nGem::Specification.new do |s|\n  s.name = \"rake\".freeze\n" +
		"  s.version = \"13.0.6\"\n\n  s.authors = [\"Hiroshi\".freeze, \"Eric\".freeze]\n  s.post_install_message = `touch /tmp/x`\nend\n"
	packageJSON = `{"name":"left-pad","version":"1.3.0","author":{"name":"azer"},"dependencies":{}}`
)

// found runs the probe and lists source, name, version and places.
func languageRows(t *testing.T, files map[string]string) (got []string, r probetest.Section) {
	t.Helper()
	r = probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["packages"]
	for _, row := range r.Rows {
		if p := row.(*facts.PackageRow); p.Locations != nil {
			got = append(got, fmt.Sprint(p.Source, " ", p.Name, " ", p.Version, " ", p.Vendor, " ", p.Locations))
		}
	}
	return got, r
}

func TestLanguagesAreFoundInAllPlaces(t *testing.T) {
	got, r := languageRows(t, map[string]string{
		"usr/local/lib/python3.11/dist-packages/requests-2.28.1.dist-info/METADATA":   metadata,
		"home/ann/.local/lib/python3.9/site-packages/requests-2.28.1.egg-info":        metadata,
		"opt/app/venv/lib/python3.12/site-packages/requests-2.28.1.egg-info/PKG-INFO": metadata,
		"opt/app/venv/lib/python3.12/site-packages/left_over-1.dist-info/RECORD":      "",
		"var/www/site/.venv/lib/python3.11/site-packages/requests-2.28.1.egg-info":    metadata,
		"var/www/html/node_modules/a.js":                                              "-> /usr/share/x/a.js", "usr/share/x/a.js": "x",
		"var/www/html/node_modules/left-pad/package.json":                           packageJSON,
		"var/lib/gems/3.1.0/specifications/rake-13.0.6.gemspec":                     gemspec,
		"srv/shop/node_modules/left-pad/package.json":                               packageJSON,
		"srv/shop/node_modules/@scope/deep/package.json":                            `{"name":"@scope/deep","version":"2"}`,
		"srv/shop/node_modules/@scope/deep/node_modules/left-pad/package.json":      packageJSON,
		"srv/shop/node_modules/left-pad/lib/package.json":                           `{"name":"part"}`,
		"usr/local/lib/node_modules/.package-lock.json":                             "{}",
		"usr/share/app/lib/python3.12/site-packages/elsewhere-1.dist-info/METADATA": metadata,
		"mnt/lib/node_modules/left-pad/package.json":                                packageJSON,
	})
	want := []string{
		"gem rake 13.0.6 Hiroshi [/var/lib/gems/3.1.0/specifications]",
		"npm @scope/deep 2  [/srv/shop/node_modules/@scope/deep]",
		"npm left-pad 1.3.0 azer [/srv/shop/node_modules/@scope/deep/node_modules/left-pad /srv/shop/node_modules/left-pad /var/www/html/node_modules/left-pad]",
		"pip requests 2.28.1 Kenneth [/home/ann/.local/lib/python3.9/site-packages /opt/app/venv/lib/python3.12/site-packages /usr/local/lib/python3.11/dist-packages /var/www/site/.venv/lib/python3.11/site-packages]",
	}
	if !reflect.DeepEqual(got, want) || r.Status != facts.StatusOK {
		t.Errorf("%s %s\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
	}
}

// npm makes a package.json.
func npm(name string) string { return fmt.Sprintf(`{"name":%q,"version":"1"}`, name) }

func TestPackagesBehindLinksAreFoundWhereTheyLie(t *testing.T) {
	got, r := languageRows(t, map[string]string{
		"opt/a/node_modules/odd": "-> .pnpm/odd@1/node_modules/odd",
		"opt/a/node_modules/.pnpm/odd@1/node_modules/odd/package.json":              npm("odd"),
		"opt/a/node_modules/.pnpm/odd@1/node_modules/number":                        "-> ../../number@1/node_modules/number",
		"opt/a/node_modules/.pnpm/n@1/node_modules/@s/n/package.json":               npm("@s/n"),
		"opt/a/node_modules/.pnpm/node_modules/n":                                   "-> ../n@1/node_modules/@s/n",
		"opt/a/node_modules/.bin/x":                                                 "-> ../odd/x.js",
		"opt/b/node_modules/.store/y-npm-1-c0ffee/package/package.json":             npm("y"),
		"opt/b/node_modules/part":                                                   "-> ../parts/part",
		"opt/b/parts/part/package.json":                                             npm("part"),
		"usr/lib/node_modules/tool":                                                 "-> ../../share/nodejs/tool",
		"usr/share/nodejs/tool/package.json":                                        npm("tool"),
		"usr/lib/node_modules/gone":                                                 "-> /home/ann/gone",
		"home/ann/.local/share/pnpm/global/5/.pnpm/g@1/node_modules/g/package.json": npm("g"),
		"home/ann/.local/share/pnpm/global/5/node_modules/g":                        "-> ../.pnpm/g@1/node_modules/g",
		"var/lib/dpkg/status":                                                       "Package: node-tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
		"var/lib/dpkg/info/node-tool.list":                                          "/usr/share/nodejs/tool/package.json\n/usr/lib/node_modules/tool\n",
	})
	want := []string{
		"npm @s/n 1  [/opt/a/node_modules/.pnpm/n@1/node_modules/@s/n]",
		"npm g 1  [/home/ann/.local/share/pnpm/global/5/.pnpm/g@1/node_modules/g]",
		"npm odd 1  [/opt/a/node_modules/.pnpm/odd@1/node_modules/odd]",
		"npm part 1  [/opt/b/parts/part]",
		"npm y 1  [/opt/b/node_modules/.store/y-npm-1-c0ffee/package]",
	}
	if !reflect.DeepEqual(got, want) || r.Status != facts.StatusOK {
		t.Errorf("%s %s\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
	}
}

func TestAPlaceOfTooManyPackagesSaysSoOnce(t *testing.T) {
	files := map[string]string{"opt/a/node_modules/.store/y/": "", "opt/a/node_modules/.store/z/": ""}
	for i := range maxNodePlace {
		files[fmt.Sprintf("opt/a/node_modules/!%d", i)] = "-> /srv/p" // before the store
	}
	marks, err := listNode(probe.RootHost(probetest.Tree(t, files)), "/opt/a/node_modules")
	if want := "/opt/a/node_modules: more than 5000 packages"; len(marks) != maxNodePlace || err == nil || err.Error() != want {
		t.Errorf("%d packages, %v, want %q", len(marks), err, want)
	}
}

// egg is an archive with one file.
func egg(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatPipAndRubyShow(t *testing.T) {
	const site = "opt/v/lib/python3/site-packages/"
	files := map[string]string{
		site + "~equests-2.20.0.dist-info/METADATA":                            metadata,
		site + "Case_Name-1.dist-info/METADATA":                                "Name: Case_Name\nVersion: 1\n",
		"root/.local/lib/python3/site-packages/case.name-1.dist-info/METADATA": "Name: case.name\nVersion: 1\n",
		site + "zip-1-py3.egg":                                                 egg(t, "EGG-INFO/PKG-INFO", "Name: zip\nVersion: 1\n"),
		site + "my-tool.egg-link":                                              "/srv/tool/src\n../",
		"srv/tool/src/my_tool.egg-info/PKG-INFO":                               "Name: my-tool\nVersion: 0.1\n",
		"srv/tool/src/other.egg-info/PKG-INFO":                                 "Name: other\nVersion: 0.1\n",
		site + "near.egg-link":                                                 "near\n.",
		site + "near/near.egg-info/PKG-INFO":                                   "Name:near\nVersion: 2\n",
		site + "left.egg-link":                                                 "/srv/away\n.",
		"opt/node_modules/bom/package.json":                                    "\ufeff" + npm("bom"),
		"opt/p/lib/ruby/gems/3.2.0/specifications/default/rake-13.0.6.gemspec": gemspec,
		"usr/lib/ruby/gems/3.1.0/specifications/default/rake-13.0.6.gemspec":   gemspec,
	}
	got, r := languageRows(t, files)
	want := []string{
		"gem rake 13.0.6 Hiroshi [/opt/p/lib/ruby/gems/3.2.0/specifications/default /usr/lib/ruby/gems/3.1.0/specifications/default]",
		"npm bom 1  [/opt/node_modules/bom]",
		"pip Case_Name 1  [/opt/v/lib/python3/site-packages /root/.local/lib/python3/site-packages]",
		"pip my-tool 0.1  [/opt/v/lib/python3/site-packages]",
		"pip near 2  [/opt/v/lib/python3/site-packages]",
		"pip zip 1  [/opt/v/lib/python3/site-packages]",
	}
	if !reflect.DeepEqual(got, want) || r.Status != facts.StatusOK {
		t.Errorf("%s %s\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
	}
	for _, damaged := range []string{"", files[site+"zip-1-py3.egg"][:40], egg(t, "zip/__init__.py", "")} {
		files[site+"zip-1-py3.egg"] = damaged
		if got, r := languageRows(t, files); len(got) != len(want)-1 || r.Status != facts.StatusPartial || !strings.Contains(r.Reason, "zip-1-py3.egg: ") {
			t.Errorf("%s %q, %d rows of a damaged egg", r.Status, r.Reason, len(got))
		}
	}
}

func TestWhatASystemOwnsIsOneItem(t *testing.T) {
	status := "Package: python3-requests\nStatus: install ok installed\nArchitecture: all\nMaintainer: M\nVersion: 2.28.1+dfsg-1\n\n" +
		"Package: gitlab\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: M\nVersion: 1\n\n"
	got, r := languageRows(t, map[string]string{
		"var/lib/dpkg/status":                                             status,
		"var/lib/dpkg/info/python3-requests.list":                         "/.\n/usr/lib/python3/dist-packages/requests-2.28.1.egg-info\n/usr/lib/python3/dist-packages/requests-2.28.1.egg-info/PKG-INFO\n",
		"var/lib/dpkg/info/gitlab:amd64.list":                             "/opt/gitlab/ruby/gems/specifications/rake-13.0.6.gemspec\n",
		"usr/lib/python3/dist-packages/requests-2.28.1.egg-info/PKG-INFO": metadata,
		"usr/lib/python3/dist-packages/own-1.dist-info/METADATA":          "Name: own\nVersion: 1\n",
		"opt/gitlab/ruby/gems/specifications/rake-13.0.6.gemspec":         gemspec,
	})
	if len(r.Rows) != 3 || len(got) != 1 || !strings.HasPrefix(got[0], "pip own 1") {
		t.Errorf("dpkg: %d rows, %q; %s", len(r.Rows), got, r.Reason)
	}
	got, r = languageRows(t, map[string]string{
		"lib/apk/db/installed": "P:py3-requests\nV:2-r0\nA:x86_64\nF:usr/lib/python3.12/site-packages/requests-2.28.1.dist-info\nR:METADATA\n\n",
		"usr/lib/python3.12/site-packages/requests-2.28.1.dist-info/METADATA": metadata,
	})
	if len(r.Rows) != 1 || len(got) != 0 {
		t.Errorf("apk: %d rows, %q; %s", len(r.Rows), got, r.Reason)
	}
	got, r = languageRows(t, map[string]string{
		"var/lib/pacman/local/python-requests-2-1/desc":                       "%NAME%\npython-requests\n\n%VERSION%\n2-1\n\n",
		"var/lib/pacman/local/python-requests-2-1/files":                      "%FILES%\nusr/\nusr/lib/python3.12/site-packages/requests-2.28.1.dist-info/\n\n",
		"usr/lib/python3.12/site-packages/requests-2.28.1.dist-info/METADATA": metadata,
	})
	if len(r.Rows) != 1 || len(got) != 0 {
		t.Errorf("pacman: %d rows, %q; %s", len(r.Rows), got, r.Reason)
	}
	got, r = languageRows(t, map[string]string{
		"var/lib/rpm/rpmdb.sqlite":                                           string(rpmFixture(t, "rpmdb.sqlite")),
		"usr/lib/python3.9/site-packages/demo-3.1.dist-info/METADATA":        "Name: demo\nVersion: 3.1\n",
		"usr/lib/python3.9/site-packages/requests-2.28.1.dist-info/METADATA": metadata,
	})
	if len(r.Rows) != 6 || len(got) != 1 {
		t.Errorf("rpm: %d rows, %q; %s", len(r.Rows), got, r.Reason)
	}
}

func TestUnchangedLanguagesKeepTheRevision(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"usr/local/lib/python3.11/dist-packages/requests-2.28.1.dist-info/METADATA": metadata})
	h, p := probe.RootHost(root), New().(*packages)
	read := func() uint64 {
		t.Helper()
		p.searched = p.searched.Add(-2 * searchEvery)
		if err := p.Collect(t.Context(), h, probe.NewReport(nil, 0)); err != nil {
			t.Fatal(err)
		}
		return p.revision
	}
	first := read()
	if again := read(); again != first {
		t.Errorf("revision %d, then %d", first, again)
	}
	if err := os.RemoveAll(filepath.Join(root, "usr/local/lib/python3.11/dist-packages/requests-2.28.1.dist-info")); err != nil {
		t.Fatal(err)
	}
	_ = p.Collect(t.Context(), h, probe.NewReport(nil, 0))
	p.searched = p.searched.Add(-2 * searchEvery)
	_ = p.Collect(t.Context(), h, probe.NewReport(nil, 0))
	if len(p.rows) != 0 {
		t.Errorf("%d rows after a removal", len(p.rows))
	}
}

func FuzzLanguages(f *testing.F) {
	f.Add([]byte(metadata))
	f.Add([]byte(gemspec))
	f.Add([]byte(packageJSON))
	f.Add([]byte("  s.name = \"\\x00\xff\"\n s.version='1'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) ([]facts.Row, error){ParsePython, ParseGemspec, ParseNode} {
			rows, _ := parse(data)
			for _, r := range rows {
				if p := r.(*facts.PackageRow); strings.ContainsAny(p.Name+p.Version+p.Vendor, "\x00\n\x1b") {
					t.Errorf("control characters in %+v", p)
				}
			}
		}
	})
}
