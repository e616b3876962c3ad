package packages

import (
	"context"
	"maps"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestFoldersWithoutRightsHideNoMoreThanWhatLiesInThem: what could not be read is never
// told as gone, and what was read completely is.
func TestFoldersWithoutRightsHideNoMoreThanWhatLiesInThem(t *testing.T) {
	const info, site = "/a-1.dist-info/METADATA", ".local/lib/python3/site-packages"
	files := map[string]string{
		"var/lib/dpkg/status":     "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
		"home/ann/" + site + info: "Name: a\nVersion: 1\n", "home/bob/" + site + info: "Name: a\nVersion: 2\n",
		"opt/x/lib/python3/site-packages" + info: "Name: a\nVersion: 3\n", "opt/y/z": "", "root/x": "",
	}
	read := func(deny ...string) facts.Reading {
		t.Helper()
		var got facts.Reading
		t.Run("as", func(t *testing.T) {
			root := probetest.Tree(t, maps.Clone(files))
			probetest.Deny(t, root, deny...)
			got = probe.RunOnce(context.Background(), probe.RootHost(root), New()).Readings[0]
		})
		return got
	}
	if got := read(); got.Status != facts.StatusOK || len(got.Rows) != 4 || got.Reason != "" {
		t.Fatalf("with all rights: %v %q, %d rows", got.Status, got.Reason, len(got.Rows))
	}
	got := read("home/bob", "opt/y", "root")
	if want := "packages of languages in /home/bob, /opt/y, /root: permission denied"; got.Status != facts.StatusPartial || got.Reason != want || len(got.Rows) != 3 {
		t.Fatalf("%v %q, %d rows; want partial %q, 3 rows", got.Status, got.Reason, len(got.Rows), want)
	}
	gone := func(source, location string, want bool) {
		t.Helper()
		row := &facts.PackageRow{Name: "x", Source: source}
		if location != "" {
			row.Locations = []string{location}
		}
		if is := got.Gone(row); is != want {
			t.Errorf("%s in %q is gone: %v, want %v", source, location, is, want)
		}
	}
	gone("dpkg", "", true)
	gone("pip", "/home/ann/"+site, true)
	gone("pip", "/home/bob/"+site, false)
	gone("npm", "/opt/y/node_modules", false)
	gone("npm", "/opt/yy/node_modules", true)
	gone("go", "/usr/local/bin/x", true)

	got = read("home")
	gone("pip", "/home/ann/"+site, false)
	gone("pip", "/opt/x/lib/python3/site-packages", true)

	got = read("var/lib/dpkg/status")
	gone("dpkg", "", false)
	gone("pip", "/home/ann/"+site, true)
}
