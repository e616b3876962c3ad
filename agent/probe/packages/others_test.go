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
