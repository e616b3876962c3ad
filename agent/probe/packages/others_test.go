package packages

import (
	"reflect"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const (
	snapYAML = "name: lxd\nversion: \"5.0.2\"\nsummary: x\narchitectures:\n- amd64\ntype: app\napps:\n  lxc:\n    name: not-this\n"
	// deploy as flatpak_dir_new_deploy_data makes it: origin, commit, subpaths, size, dictionary.
	deploy = "flathub\x00c0ffee\x00\x00appdata-version\x00124.0.1\x00\x00s\x10"
	nixOld = "[ { meta = { }; name = \"hello-2.12.1\"; out = { outPath = \"/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.1\"; }; outPath = \"/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.1\"; } ]"
	nixNew = `{"version":3,"elements":{"ripgrep":{"active":true,"storePaths":["/nix/store/0123456789abcdfghijklmnpqrsvwxyz-ripgrep-14.1.0"]}}}`
)

// TestASnapIsThereWithoutTheStateOfSnapd: nothing else of snapd is left.
func TestASnapIsThereWithoutTheStateOfSnapd(t *testing.T) {
	for name, want := range map[string]int{"snap/lxd/current/meta/snap.yaml": 1, "snap/lxd/12/meta/snap.yaml": 0} {
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{name: snapYAML, "var/lib/dpkg/status": ""})), New())["packages"]
		got := 0
		for _, row := range r.Rows {
			if row.(*facts.PackageRow).Source == "snap" {
				got++
			}
		}
		if got != want {
			t.Errorf("%s: %d snaps, %s %s", name, got, r.Status, r.Reason)
		}
	}
}

// TestSnapsThatAreNotMountedAreTold: as on the disk of another machine.
func TestSnapsThatAreNotMountedAreTold(t *testing.T) {
	f := func(status facts.Status, reason string, want []facts.PackageRow, files map[string]string) {
		t.Helper()
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["packages"]
		var got []facts.PackageRow
		for _, row := range r.Rows {
			got = append(got, *row.(*facts.PackageRow))
		}
		if r.Status != status || !strings.Contains(r.Reason, reason) || !reflect.DeepEqual(got, want) {
			t.Errorf("%v %q, want %v %q\n%+v", r.Status, r.Reason, status, reason, got)
		}
	}
	const state = "var/lib/snapd/state.json"
	const two = `{"data":{"snaps":{"lxd":{"current":"12","active":true},"old":{"current":7,"sequence":[]}}}}`
	lxd := facts.PackageRow{Name: "lxd", Version: "5.0.2", Arch: "amd64", Source: "snap", Category: "app"}
	f(facts.StatusPartial, "the version of snap lxd is not known: its revision 12 is not mounted", []facts.PackageRow{
		{Name: "lxd", Source: "snap", SourceVersion: "12"}, {Name: "old", Source: "snap", SourceVersion: "7", State: "disabled"},
	}, map[string]string{state: two, "snap/lxd/12/": "", "snap/lxd/current": "-> 12"})
	disabled := facts.PackageRow{Name: "old", Version: "1", Source: "snap", State: "disabled"}
	f(facts.StatusOK, "", []facts.PackageRow{lxd, disabled}, map[string]string{
		state: two, "snap/lxd/12/meta/snap.yaml": snapYAML, "snap/lxd/current": "-> 12", "snap/old/7/meta/snap.yaml": "name: old\nversion: '1'\n",
	})
	f(facts.StatusPartial, state, []facts.PackageRow{lxd}, map[string]string{state: two[:20], "snap/lxd/current/meta/snap.yaml": snapYAML})
}

func TestFlatpaksOfPeople(t *testing.T) {
	const firefox = ".local/share/flatpak/app/org.mozilla.firefox/x86_64/stable/"
	files := map[string]string{
		"home/ann/" + firefox + "active":                                                   "-> c0ffee",
		"home/ann/" + firefox + "c0ffee/deploy":                                            deploy,
		"home/ann/.local/share/flatpak/app/org.mozilla.firefox/current":                    "-> x86_64/stable",
		"root/" + firefox + "active/deploy":                                                deploy,
		"home/ann/.local/share/flatpak/runtime/org.gnome.Platform/x86_64/45/active/deploy": "flathub\x00c0ffee\x00",
	}
	want := []string{
		"flatpak org.gnome.Platform 45 flathub [/home/ann/.local/share/flatpak/runtime/org.gnome.Platform/x86_64/45/active]",
		"flatpak org.mozilla.firefox 124.0.1 flathub [/home/ann/" + firefox + "active /root/" + firefox + "active]",
	}
	if got, r := languageRows(t, files); !reflect.DeepEqual(got, want) || r.Status != facts.StatusOK {
		t.Errorf("%v %q %q", r.Status, r.Reason, got)
	}
	root := probetest.Tree(t, files)
	probetest.Deny(t, root, "home/ann")
	got := probe.RunOnce(t.Context(), probe.RootHost(root), New()).Readings[0]
	if row := (&facts.PackageRow{Source: "flatpak", Name: "x", Locations: []string{"/home/ann/" + firefox}}); got.Status != facts.StatusPartial || got.Gone(row) {
		t.Errorf("%v %q: what may not be looked at is gone", got.Status, got.Reason)
	}
}

func TestPortageSnapFlatpakAndNix(t *testing.T) {
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		"var/db/pkg/dev-libs/openssl-3.0.13-r2/SIZE":                          "1234\n",
		"var/db/pkg/dev-libs/openssl-3.0.13-r2/BUILD_TIME":                    "1700000000\n",
		"var/db/pkg/dev-libs/openssl-3.0.13-r2/repository":                    "gentoo\n",
		"var/db/pkg/dev-libs/-MERGING-zlib-1/SIZE":                            "1\n",
		"var/lib/snapd/state.json":                                            "{}",
		"snap/lxd/current/meta/snap.yaml":                                     snapYAML,
		"snap/README":                                                         "x",
		"var/lib/flatpak/app/org.mozilla.firefox/x86_64/stable/active/deploy": deploy,
		"var/lib/flatpak/runtime/org.gnome.Platform/x86_64/45/active/deploy":  "flathub\x00c0ffee\x00",
		"nix/var/nix/profiles/default/manifest.nix":                           nixOld,
		"nix/var/nix/profiles/per-user/ann/profile/manifest.json":             nixNew,
	})), New())["packages"]
	want := []facts.PackageRow{
		{Name: "org.gnome.Platform", Version: "45", Arch: "x86_64", Source: "flatpak", Vendor: "flathub", Category: "runtime"},
		{Name: "org.mozilla.firefox", Version: "124.0.1", Arch: "x86_64", Source: "flatpak", Vendor: "flathub", Category: "app"},
		{Name: "hello", Version: "2.12.1", Source: "nix", Locations: []string{"/nix/var/nix/profiles/default"}},
		{Name: "ripgrep", Version: "14.1.0", Source: "nix", Locations: []string{"/nix/var/nix/profiles/per-user/ann/profile"}},
		{Name: "dev-libs/openssl", Version: "3.0.13-r2", Source: "portage", Vendor: "gentoo", Category: "dev-libs", SizeBytes: 1234, InstalledAt: 1700000000000},
		{Name: "lxd", Version: "5.0.2", Arch: "amd64", Source: "snap", Category: "app"},
	}
	if r.Status != facts.StatusOK || len(r.Rows) != len(want) {
		t.Fatalf("%s with %d rows: %s", r.Status, len(r.Rows), r.Reason)
	}
	for i, row := range r.Rows {
		if got := *row.(*facts.PackageRow); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
}

func FuzzSmallFormats(f *testing.F) {
	f.Add([]byte(snapYAML))
	f.Add([]byte(deploy))
	f.Add([]byte(nixOld))
	f.Add([]byte(nixNew))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ParseSnap(data)
		parseDeploy(data)
		stores, _ := parseNixJSON(data)
		for _, s := range append(stores, parseNixExpression(data)...) {
			if row := nixRow(s, new(texts)); row != nil && (row.Name == "" || strings.ContainsAny(row.Name, "\x00\n")) {
				t.Errorf("%+v", row)
			}
		}
		if name, version, ok := splitPortage(string(data)); ok && (name == "" || version == "") {
			t.Errorf("%q", data)
		}
	})
}

func TestWhatNixOSItselfHas(t *testing.T) {
	const hash = "0123456789abcdfghijklmnpqrsvwxyz"
	tree := map[string]string{
		"nix/var/nix/profiles/system":                              "-> system-7-link",
		"nix/var/nix/profiles/system-7-link":                       "-> /nix/store/" + hash + "-nixos-system-a-24.05",
		"nix/store/" + hash + "-nixos-system-a-24.05/sw":           "-> /nix/store/" + hash + "-system-path",
		"nix/store/" + hash + "-system-path/bin/bash":              "-> /nix/store/" + hash + "-bash-interactive-5.2p26/bin/bash",
		"nix/store/" + hash + "-system-path/bin/sh":                "-> /nix/store/" + hash + "-bash-interactive-5.2p26/bin/sh",
		"nix/store/" + hash + "-system-path/bin/vim":               "-> /nix/store/" + hash + "-vim-9.1.0377/bin/vim",
		"nix/store/" + hash + "-system-path/bin/made-on-the-place": "#!/bin/sh\n",
	}
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, tree)), New())["packages"]
	want := []facts.Row{
		&facts.PackageRow{Name: "bash-interactive", Version: "5.2p26", Source: "nix", Locations: []string{nixSystem}},
		&facts.PackageRow{Name: "vim", Version: "9.1.0377", Source: "nix", Locations: []string{nixSystem}},
	}
	if !reflect.DeepEqual(r.Rows, want) || r.Status != facts.StatusOK {
		t.Errorf("%v (%s): %+v", r.Status, r.Reason, r.Rows)
	}
	for name := range tree {
		if strings.Contains(name, "system-path/bin/") {
			delete(tree, name)
		}
	}
	if r = probetest.Sections(probe.RootHost(probetest.Tree(t, tree)), New())["packages"]; r.Status != facts.StatusFailed || !strings.Contains(r.Reason, nixSystem) {
		t.Errorf("without programs: %v (%s)", r.Status, r.Reason)
	}
}

// TestAnOwnerIsKnownByTheMainFileOfTheMetadata: lists that name no folders.
func TestAnOwnerIsKnownByTheMainFileOfTheMetadata(t *testing.T) {
	const metadata = "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n"
	const egg, dist = "usr/lib/python3/dist-packages/six-1.16.0.egg-info", "usr/lib/python3.12/site-packages/six-1.16.0.dist-info"
	f := func(want string, files map[string]string) {
		t.Helper()
		files[egg+"/PKG-INFO"], files[dist+"/METADATA"] = metadata, metadata
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["packages"]
		if r.Status != facts.StatusOK || len(r.Rows) != 1 || r.Rows[0].(*facts.PackageRow).Name != want {
			t.Errorf("%v (%s): %d rows, want %s alone", r.Status, r.Reason, len(r.Rows), want)
		}
	}
	f("python3-six", map[string]string{
		"var/lib/dpkg/status":                "Package: python3-six\nStatus: install ok installed\nArchitecture: all\nMaintainer: M\nVersion: 1\n\n",
		"var/lib/dpkg/info/python3-six.list": "/" + egg + "/PKG-INFO\n/" + dist + "/METADATA\n",
	})
	f("python-six", map[string]string{
		"var/lib/pacman/local/python-six-1-1/desc":  "%NAME%\npython-six\n\n%VERSION%\n1-1\n\n",
		"var/lib/pacman/local/python-six-1-1/files": "%FILES%\n" + egg + "/PKG-INFO\n" + dist + "/METADATA\n",
	})
	f("dev-python/six", map[string]string{
		"var/db/pkg/dev-python/six-1.16.0/repository": "gentoo\n",
		"var/db/pkg/dev-python/six-1.16.0/CONTENTS":   "dir /usr/lib\nsym /" + egg + " -> six 1700000000\nobj /" + dist + "/METADATA 0123456789abcdef0123456789abcdef 1700000000\n",
	})
}

func FuzzPortageFiles(f *testing.F) {
	f.Add([]byte("dir /usr\nobj /usr/a b c0ffee 17\nsym /a -> b 17\n"))
	f.Add([]byte("obj\nobj \nsym"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := portageFiles(data); len(got) > len(data)+1 {
			t.Errorf("%d bytes of %d", len(got), len(data))
		}
	})
}
