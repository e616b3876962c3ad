package packages

import (
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
		"var/www/html/node_modules/left-pad/package.json":                             packageJSON,
		"var/lib/gems/3.1.0/specifications/rake-13.0.6.gemspec":                       gemspec,
		"srv/shop/node_modules/left-pad/package.json":                                 packageJSON,
		"srv/shop/node_modules/@scope/deep/package.json":                              `{"name":"@scope/deep","version":"2"}`,
		"srv/shop/node_modules/@scope/deep/node_modules/left-pad/package.json":        packageJSON,
		"srv/shop/node_modules/left-pad/lib/package.json":                             `{"name":"part"}`,
		"usr/local/lib/node_modules/.package-lock.json":                               "{}",
		"usr/share/app/lib/python3.12/site-packages/elsewhere-1.dist-info/METADATA":   metadata,
		"mnt/lib/node_modules/left-pad/package.json":                                  packageJSON,
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
