package patches

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const server = "debian-12-software"

// fresh sets the index times of a tree to an hour ago.
func fresh(t testing.TB, root string) { setIndexTime(t, root, time.Now().Add(-time.Hour)) }

func setIndexTime(t testing.TB, root string, at time.Time) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, listsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chtimes(f, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPatchesOfARealHost(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, server))
	fresh(t, root)
	got := probetest.Sections(probe.RootHost(root), New(Config{}))
	got["patch_state"].Rows[0].(*facts.PatchStateRow).IndexTime = 0 // now
	for _, row := range got["package_indexes"].Rows {
		row.(*facts.PackageIndexRow).Time = 0
	}
	probetest.GoldenSections(t, server, got)
}

// TestPendingEqualsApt asks the apt of the machine that runs the test. The simulation
// takes no lock, but apt may build its cache for many seconds.
func TestPendingEqualsApt(t *testing.T) {
	if os.Getenv("ATALAYA_TEST_APT") == "" {
		t.Skip("set ATALAYA_TEST_APT=1 to compare with the apt of this machine")
	}
	cmd := exec.Command("/usr/bin/apt-get", "-s", "-o", "Debug::NoLocking=1", "dist-upgrade")
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("no apt here: %v", err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "Inst" {
			continue
		}
		i := slices.IndexFunc(f, func(s string) bool { return strings.HasPrefix(s, "(") })
		want[f[1]] = strings.TrimPrefix(f[i], "(")
	}
	res := probe.RunOnce(context.Background(), probe.LiveHost(), New(Config{}))
	got := make(map[string]string)
	for _, row := range res.Readings[0].Rows {
		if r := row.(*facts.PatchRow); r.State == statePending {
			got[r.Name] = r.Candidate
		}
	}
	if diff := cmp.Diff(want, got); diff != "" && strings.Contains(string(out), "\nRemv ") {
		t.Skipf("apt would remove packages, which is not computed:\n%s", diff)
	} else if diff != "" {
		t.Errorf("pending differs from apt (-apt +got):\n%s", diff)
	}
}

// A world is a small apt system in text: installed packages and repositories.
type world struct {
	status string
	repos  map[string]string // Release fields, "|", Packages
	extra  map[string]string
}

// installed writes stanzas of "name version [key: value; ...]" lines.
func stanzaLines(installed bool, lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		fmt.Fprintf(&b, "Package: %s\n", f[0])
		rest := ""
		if len(f) == 3 {
			rest = f[2]
		}
		if installed && !strings.Contains(rest, "Status:") {
			b.WriteString("Status: install ok installed\n")
		}
		if !strings.Contains(rest, "Architecture:") {
			b.WriteString("Architecture: amd64\n")
		}
		fmt.Fprintf(&b, "Version: %s\n", f[1])
		for field := range strings.SplitSeq(rest, ";") {
			if field = strings.TrimSpace(field); field != "" {
				b.WriteString(field + "\n")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func have(lines ...string) string { return stanzaLines(true, append(lines, "dpkg 1.21")...) }

func repo(release string, lines ...string) string {
	return release + "|" + stanzaLines(false, lines...)
}

func (w world) root(t testing.TB) string {
	t.Helper()
	files := map[string]string{"var/lib/dpkg/status": w.status, "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"etc/os-release": "BUILD_ID=rolling\n"}
	var sources strings.Builder
	for name, content := range w.repos {
		release, packages, _ := strings.Cut(content, "|")
		base := listsDir + "/deb.example.org_" + name + "_dists_x_"
		files[base+"Release"] = strings.ReplaceAll(release, ";", "\n") + "\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
		files[base+"Release.gpg"] = "x"
		files[base+"main_binary-amd64_Packages"] = packages
		fmt.Fprintf(&sources, "deb [arch=amd64] http://deb.example.org/%s x main\n", name)
	}
	files["etc/apt/sources.list"] = sources.String()
	maps.Copy(files, w.extra)
	root := probetest.Tree(t, files)
	fresh(t, root)
	return root
}

const (
	stable   = "Origin: Debian;Label: Debian;Suite: stable;Codename: bookworm;Version: 12.5"
	security = "Origin: Debian;Label: Debian-Security;Suite: stable-security;Codename: bookworm-security;Version: 12"
)

func TestPendingUpdates(t *testing.T) {
	prefs := func(s string) map[string]string { return map[string]string{"etc/apt/preferences.d/p": s} }
	for name, c := range map[string]struct {
		world
		want string // name candidate state [S], ...
	}{
		"nothing":            {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 1")}}, ""},
		"update":             {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2")}}, "a 2 pending"},
		"older_is_no_update": {world{status: have("a 3"), repos: map[string]string{"d": repo(stable, "a 2")}}, ""},
		"security": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 1"), "s": repo(security, "a 1+deb12u1")}},
			"a 1+deb12u1 pending S"},
		"security_passed_over": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 3"), "s": repo(security, "a 2")}},
			"a 3 pending S by 2"},
		"held":                          {world{status: have("a 1 Status: hold ok installed"), repos: map[string]string{"d": repo(stable, "a 2")}}, "a 2 held"},
		"removed_but_configured":        {world{status: have("a 1 Status: deinstall ok config-files"), repos: map[string]string{"d": repo(stable, "a 2")}}, ""},
		"experimental_is_not_automatic": {world{status: have("a 1"), repos: map[string]string{"e": repo("Suite: experimental;NotAutomatic: yes", "a 2")}}, ""},
		"backport_follows_backport": {world{status: have("a 2~bpo1", "b 1"), repos: map[string]string{
			"b": repo("Suite: bookworm-backports;NotAutomatic: yes;ButAutomaticUpgrades: yes", "a 2~bpo2", "b 2~bpo1")}}, "a 2~bpo2 pending, b 2~bpo1 pending"},
		"backport_stays_behind_stable": {world{status: have("b 1"), repos: map[string]string{"d": repo(stable, "b 1"),
			"b": repo("Suite: bookworm-backports;NotAutomatic: yes;ButAutomaticUpgrades: yes", "b 2~bpo1")}}, ""},
		"new_package": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Depends: b (>= 1), c", "b 1 Depends: e", "c 1", "e 1")}},
			"a 2 pending, b 1 pending, c 1 pending, e 1 pending"},
		"first_alternative": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Depends: b (>= 9) | c | e", "b 1", "c 1", "e 1")}},
			"a 2 pending, c 1 pending"},
		"provider": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Depends: mta", "exim 4 Provides: mta")}},
			"a 2 pending, exim 4 pending"},
		"installed_provider": {world{status: have("a 1", "exim 4 Provides: mta"), repos: map[string]string{"d": repo(stable, "a 2 Depends: mta", "b 4 Provides: mta")}},
			"a 2 pending"},
		"kept_back": {world{status: have("a 1", "c 1"), repos: map[string]string{"d": repo(stable, "a 2 Depends: b", "c 2 Depends: a (>= 2)")}},
			"a 2 held, c 2 held"},
		"kept_back_by_hold": {world{status: have("a 1", "b 1 Status: hold ok installed"), repos: map[string]string{"d": repo(stable, "a 2 Depends: b (>= 2)", "b 2")}},
			"a 2 held, b 2 held"},
		"recommends_new_only": {world{status: have("a 1 Recommends: old"), repos: map[string]string{"d": repo(stable, "a 2 Recommends: old, young", "old 1", "young 1")}},
			"a 2 pending, young 1 pending"},
		"no_recommends": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Recommends: young", "young 1")},
			extra: map[string]string{"etc/apt/apt.conf.d/99x": "APT { Install-Recommends \"false\"; };"}}, "a 2 pending"},
		"phased_out": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Phased-Update-Percentage: 0")}}, "a 2 phased"},
		"phased_in":  {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Phased-Update-Percentage: 99")}}, "a 2 pending"},
		"phased_always": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Phased-Update-Percentage: 0")},
			extra: map[string]string{"etc/apt/apt.conf": `APT::Get::Always-Include-Phased-Updates "1";`}}, "a 2 pending"},
		"phased_over_security": {world{status: have("a 1"), repos: map[string]string{
			"d": repo(stable, "a 3 Phased-Update-Percentage: 0"), "s": repo(security, "a 2")}}, "a 3 pending S by 2"},
		"pinned_version": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2")}, extra: prefs("Package: a\nPin: version 1*\nPin-Priority: 700\n")}, "a 2 pinned"},
		"pinned_origin": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2")},
			extra: prefs("Package: a*\nPin: origin deb.example.org\nPin-Priority: -1\n")}, "a 2 pinned"},
		"pinned_down_to_release": {world{status: have("a 3"), repos: map[string]string{"d": repo(stable, "a 2")},
			extra: prefs("Package: *\nPin: release n=bookworm, l=Debian\nPin-Priority: 1001\n")}, "a 2 pending"},
		"never": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2")}, extra: prefs("Package: *\nPin: release a=stable\nPin-Priority: never\n")}, "a 2 pinned"},
		"pin_by_expression": {world{status: have("a 1", "b 1"), repos: map[string]string{"d": repo(stable, "a 2", "b 2")},
			extra: prefs("Explanation: x\nPackage: /^a/\nPin: release *\nPin-Priority: -5\n")}, "a 2 pinned, b 2 pending"},
		"target_release": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2"), "t": repo("Suite: testing;Codename: trixie", "a 3")},
			extra: map[string]string{"etc/apt/apt.conf": `APT::Default-Release "stable"; // as in the manual`}}, "a 2 pending"},
		"architecture_all":                {world{status: have("a 1 Architecture: all"), repos: map[string]string{"d": repo(stable, "a 2 Architecture: all", "dpkg 1.21")}}, "a 2 pending"},
		"from_all_to_native":              {world{status: have("a 1 Architecture: all"), repos: map[string]string{"d": repo(stable, "a 2")}}, "a 2 pending"},
		"other_architecture_is_no_update": {world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2 Architecture: i386")}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := probetest.Sections(probe.RootHost(c.root(t)), New(Config{}))
			var got []string
			for _, row := range r["patches"].Rows {
				p := row.(*facts.PatchRow)
				s := p.Name + " " + p.Candidate + " " + p.State
				if p.Security {
					s += " S"
				}
				fix, between := strings.CutPrefix(p.Reason, "the fix for security is that of ")
				if between {
					s += " by " + fix
				} else if (p.State != statePending) != (p.Reason != "") {
					t.Errorf("%s: reason %q", s, p.Reason)
				}
				got = append(got, s)
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got  %s\nwant %s\nproblem %s", s, c.want, r["patches"].Reason)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		status  string
		release string
		age     time.Duration
		change  func(root string) error
		want    string
		reason  string
	}{
		"current":       {status: have("a 1"), want: facts.VerdictCurrent},
		"pending":       {status: have("a 0"), want: facts.VerdictPending},
		"held":          {status: have("a 0 Status: hold ok installed"), want: facts.VerdictPending, reason: "1 update is held back or pinned"},
		"stale":         {status: have("a 1"), age: 5 * day, want: facts.VerdictUnknown, reason: `index of "http://deb.example.org/d x" is 5 days old, limit 2 days`},
		"stale_pending": {status: have("a 0"), age: 5 * day, want: facts.VerdictUnknown, reason: "5 days old"},
		"future":        {status: have("a 1"), age: -3 * day, want: facts.VerdictUnknown, reason: "the clock is wrong"},
		"valid_until":   {status: have("a 1"), release: "Valid-Until: Fri, 02 Jan 2026 00:00:00 UTC", want: facts.VerdictUnknown, reason: "was valid until 2026-01-02"},
		"cut_status":    {status: strings.TrimSuffix(have("a 1"), "\n"), want: facts.VerdictUnknown, reason: "cut off"},
		"missing_index": {status: have("a 1"), want: facts.VerdictUnknown, reason: "index main/binary-amd64/Packages of source",
			change: func(root string) error { return os.Remove(index0(root)) }},
		"missing_source": {status: have("a 1"), want: facts.VerdictUnknown, reason: "no index of source",
			change: func(root string) error { return os.RemoveAll(filepath.Join(root, listsDir)) }},
		"no_sources": {status: have("a 1"), want: facts.VerdictUnknown, reason: "no package source is configured",
			change: func(root string) error { return os.Truncate(filepath.Join(root, "etc/apt/sources.list"), 0) }},
		"nul_in_index": {status: have("a 1"), want: facts.VerdictUnknown, reason: "NUL",
			change: func(root string) error {
				return os.WriteFile(index0(root), []byte("Package: a\nVersion: 1\x00\n\n"), 0o644)
			}},
		"size_differs": {status: have("a 1"), release: "SHA256:\n 00 9999 main/binary-amd64/Packages", want: facts.VerdictUnknown, reason: "the Release file says 9999"},
		"lzma": {status: have("a 1"), want: facts.VerdictUnknown, reason: ".lzma files are not read",
			change: func(root string) error { return os.Rename(index0(root), index0(root)+".lzma") }},
		"bad_preferences": {status: have("a 1"), want: facts.VerdictUnknown, reason: "priority",
			change: func(root string) error {
				return os.WriteFile(filepath.Join(root, "etc/apt/preferences"), []byte("Package: a\nPin: version 1\nPin-Priority: much\n"), 0o644)
			}},
		"support_ended": {status: have("a 1"), want: facts.VerdictUnknown, reason: "support of this release ended on 2024-01-31",
			change: func(root string) error {
				return os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("SUPPORT_END=\"2024-01-31\"\n"), 0o644)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			release := stable
			if c.release != "" {
				release += ";" + c.release
			}
			root := world{status: c.status, repos: map[string]string{"d": repo(release, "a 1")}}.root(t)
			if c.age != 0 {
				setIndexTime(t, root, time.Now().Add(-c.age))
			}
			if c.change != nil {
				if err := c.change(root); err != nil {
					t.Fatal(err)
				}
			}
			r := probetest.Sections(probe.RootHost(root), New(Config{}))["patch_state"]
			row := r.Rows[0].(*facts.PatchStateRow)
			if row.Verdict != c.want || !strings.Contains(row.Reason, c.reason) || c.reason == "" && row.Reason != "" {
				t.Errorf("verdict %s, reason %q; want %s, %q", row.Verdict, row.Reason, c.want, c.reason)
			}
		})
	}
}

func index0(root string) string {
	return filepath.Join(root, listsDir, "deb.example.org_d_dists_x_main_binary-amd64_Packages")
}

func TestOtherSystemsAreUnsupported(t *testing.T) {
	got := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"etc/os-release": "ID=gentoo\n"})), New(Config{}))
	if r := got["patches"]; r.Status != facts.StatusUnsupported {
		t.Errorf("patches: %s", r.Status)
	}
	row := got["patch_state"].Rows[0].(*facts.PatchStateRow)
	if row.Verdict != facts.VerdictUnsupported || row.Reason == "" || row.RebootRequired != nil {
		t.Errorf("%+v", row)
	}
}

func TestPackagesThatAreNotJudgedAreUnknown(t *testing.T) {
	portage := map[string]string{"etc/os-release": "ID=gentoo\n", "var/db/pkg/sys-libs/glibc-2.41/PF": "glibc-2.41\n"}
	nix := map[string]string{"etc/os-release": "ID=nixos\n", "nix/var/nix/profiles/system-1-link/x": ""}
	both := world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 1")}, extra: map[string]string{"nix/var/nix/profiles/default/x": ""}}
	for root, want := range map[string]string{
		probetest.Tree(t, portage): "unknown files do not tell the updates of packages of portage",
		probetest.Tree(t, nix):     "unknown files do not tell the updates of packages of nix",
		both.root(t):               "current without packages of nix, whose updates files do not tell",
	} {
		s := probetest.Sections(probe.RootHost(root), New(Config{}))
		row := s["patch_state"].Rows[0].(*facts.PatchStateRow)
		if got := row.Verdict + " " + row.Reason; got != want || s["patch_state"].Status != facts.StatusOK {
			t.Errorf("%s: %s, want %s", s["patch_state"].Status, got, want)
		}
	}
}

func TestACutStatusIsNeverCurrent(t *testing.T) {
	files := probetest.Files(t, server)
	status := files["var/lib/dpkg/status"]
	status = status[:strings.Index(status, "Package: base-files")] // two stanzas
	for n, cut := range probetest.Cuts(status) {
		if _, err := parseStatus(t.Context(), []byte(cut)); err == nil && !strings.HasSuffix(cut, "\n\n") {
			t.Fatalf("cut at %d of %d: no error", n, len(status))
		}
	}
}

func TestIndexesAreReadAgainOnlyWhenTheyChange(t *testing.T) {
	root := world{status: have("a 1"), repos: map[string]string{"d": repo(stable, "a 2")}}.root(t)
	p := New(Config{}).(*patches)
	probetest.Sections(probe.RootHost(root), p)
	first := p.managers[0].last
	probetest.Sections(probe.RootHost(root), p)
	if p.managers[0].last != first {
		t.Error("computed again though nothing changed")
	}
	if err := os.WriteFile(index0(root), []byte(stanzaLines(false, "a 33")), 0o644); err != nil {
		t.Fatal(err)
	}
	r := probetest.Sections(probe.RootHost(root), p)["patches"]
	if len(r.Rows) != 1 || r.Rows[0].(*facts.PatchRow).Candidate != "33" {
		t.Errorf("after a change: %+v", r)
	}
}

func TestConfirmedNeverTrustsACopy(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 10, h, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		e    evidence
		want time.Time
	}{
		"fetched_or_not_modified":  {evidence{modified: at(1), changed: at(9), partial: at(8), lock: at(0)}, at(8)},
		"later_run_failed":         {evidence{modified: at(1), changed: at(5), partial: at(8), lock: at(0)}, at(5)},
		"image_unpacked":           {evidence{modified: at(1), changed: at(20), partial: at(2), lock: at(20)}, at(2)},
		"unpacked_then_run_failed": {evidence{modified: at(1), changed: at(10), partial: at(12), lock: at(10)}, at(1)},
		"first_run_of_all":         {evidence{modified: at(1), changed: at(9), partial: at(9), lock: at(9)}, at(9)},
		"copy":                     {evidence{date: at(3), modified: at(1)}, at(3)},
		"no_partial_folder":        {evidence{date: at(3), modified: at(4), changed: at(9)}, at(4)},
	} {
		if got := c.e.confirmed(); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestReboot(t *testing.T) {
	const dep = "lib/modules/%s/modules.dep"
	for name, c := range map[string]struct {
		files  map[string]string
		want   string // "", "false" or "true"
		reason string
	}{
		"nothing_known":   {map[string]string{"etc/x": ""}, "", ""},
		"container":       {map[string]string{"proc/sys/kernel/osrelease": "6.1.0-18-amd64\n"}, "", ""},
		"other_flavour":   {map[string]string{"proc/sys/kernel/osrelease": "6.18.4-fc\n", "boot/vmlinuz-6.1.0-18-amd64": ""}, "", ""},
		"newest_runs":     {map[string]string{"proc/sys/kernel/osrelease": "6.1.0-18-amd64\n", "boot/vmlinuz-6.1.0-18-amd64": "", "boot/vmlinuz-6.1.0-9-amd64": ""}, "false", ""},
		"newer_installed": {map[string]string{"proc/sys/kernel/osrelease": "6.1.0-9-amd64\n", "boot/vmlinuz-6.1.0-18-amd64": ""}, "true", "kernel 6.1.0-18-amd64 is installed, 6.1.0-9-amd64 runs"},
		"by_modules":      {map[string]string{"proc/sys/kernel/osrelease": "6.8.0-31-generic\n", fmt.Sprintf(dep, "6.8.0-40-generic"): ""}, "true", "6.8.0-40-generic"},
		"asked_for":       {map[string]string{"run/reboot-required": "*** System restart required ***\n", "run/reboot-required.pkgs": "libc6\ndbus\nlibc6\n"}, "true", "asked for by libc6, dbus"},
	} {
		t.Run(name, func(t *testing.T) {
			required, reasons := reboot(probe.RootHost(probetest.Tree(t, c.files)), nil)
			got := ""
			if required != nil {
				got = fmt.Sprint(*required)
			}
			if got != c.want || !strings.Contains(strings.Join(reasons, "; "), c.reason) {
				t.Errorf("required %q, reasons %q", got, reasons)
			}
		})
	}
	sys := &system{native: "amd64", packages: map[packageID]*installed{{"linux-image-6.1.0-18-amd64", "amd64"}: {version: "6.1.76-1"}}}
	h := probe.RootHost(probetest.Tree(t, map[string]string{"proc/sys/kernel/osrelease": "6.1.0-18-amd64\n", "boot/vmlinuz-6.1.0-18-amd64": "",
		"proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.69-1 (2023-12-30)\n"}))
	rebuilt := &finding{rebootReasons: func(h *probe.Host) []string { return kernelRebuilt(h, sys.kernels()) }}
	if required, reasons := reboot(h, []*finding{rebuilt}); required == nil || !*required || !strings.Contains(reasons[0], "runs as 6.1.69-1") {
		t.Errorf("rebuilt kernel: %v %q", required, reasons)
	}
}

// lz4Sample is 6,000 times the same stanza, made by `lz4 -9 -BD -B4` 1.9.4: three
// linked blocks with matches that reach into the block before.
var lz4Sample = strings.Repeat("Package: abcdefgh\nVersion: 1.0\n\n", 6000)

func TestLZ4(t *testing.T) {
	data, err := os.ReadFile("testdata/linked.lz4")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(newLZ4Reader(bytes.NewReader(data)))
	if err != nil || string(got) != lz4Sample {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for n, cut := range probetest.Cuts(data[:len(data)-1]) {
		if got, err := io.ReadAll(newLZ4Reader(bytes.NewReader(cut))); err == nil && n > 0 {
			t.Errorf("cut at %d: %d bytes, no error", n, len(got))
		}
	}
}

func TestCompressedIndexes(t *testing.T) {
	zst, err := base64.StdEncoding.DecodeString("KLUv/aQA7gIAVAEABAJQYWNrYWdlOiBhYmNkZWZnaApWZXJzaW9uOiAxLjAKCgEA6P4fuXoCRQAAAAEA/e2hKyA8BnDl")
	if err != nil {
		t.Fatal(err)
	}
	lz4, err := os.ReadFile("testdata/linked.lz4")
	if err != nil {
		t.Fatal(err)
	}
	for ext, data := range map[string][]byte{"": []byte(lz4Sample), ".lz4": lz4, ".zst": zst} {
		root := probetest.Tree(t, map[string]string{"x_Packages" + ext: string(data)})
		r, err := openInflated(probe.RootHost(root), "/x_Packages"+ext)
		if err != nil {
			t.Fatal(ext, err)
		}
		in := newStanzas(r)
		n := 0
		for ; ; n++ {
			if _, err := in.next(); err != nil {
				if err != io.EOF {
					t.Error(ext, err)
				}
				break
			}
		}
		if n != 6000 || in.Read() != int64(len(lz4Sample)) {
			t.Errorf("%q: %d stanzas, %d bytes", ext, n, in.Read())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListNames(t *testing.T) {
	for uri, want := range map[string]string{
		"http://deb.debian.org/debian/dists/bookworm/InRelease": "deb.debian.org_debian_dists_bookworm_InRelease",
		"https://user:pass@h:8080/a_b/~c/Release":               "h:8080_a%5fb_%7ec_Release",
		"file:/srv/repo/./Packages":                             "_srv_repo_._Packages",
	} {
		if got := listName(uri); got != want {
			t.Errorf("listName(%q) = %q, want %q", uri, got, want)
		}
	}
}

func TestSources(t *testing.T) {
	list, err := parseSourcesList("# c\ndeb [ arch=amd64,i386 signed-by=/k ] http://h/d s main contrib # c\ndeb-src http://h/d s main\n\ndeb http://h/f ./\n")
	if err != nil || len(list) != 3 || !slices.Equal(list[0].components, []string{"main", "contrib"}) || !slices.Equal(list[0].archs, []string{"amd64", "i386"}) ||
		list[0].signedBy != "/k" || list[1].kind != "deb-src" || !list[2].flat() {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []string{"deb", "deb http://h", "deb [arch=a http://h s m", "deb http://h s", "rpm x y z", "deb http://h ./ main"} {
		if got, err := parseSourcesList(bad + "\n"); err == nil {
			t.Errorf("%q: taken as %+v", bad, got)
		}
	}
	set, err := parseSources([]byte("Types: deb deb-src\nURIs: http://h/d\n# c\nSuites: a b\nComponents: main\nSigned-By:\n -----BEGIN\n .\n x\n\nTypes: deb\nEnabled: no\nURIs: http://h\nSuites: s\nComponents: main\n"))
	if err != nil || len(set) != 5 || set[1].suite != "b" || set[2].kind != "deb-src" || set[0].signedBy != "a key in the file itself" || !set[4].disabled {
		t.Errorf("%+v, %v", set, err)
	}
}

func TestAptConf(t *testing.T) {
	conf := make(aptConf)
	err := parseAptConf(conf, "// c\nAPT::A \"1\"; /* x { */ APT { B \"2\"; C { \"x\"; \"y\"; }; };\n# c\nD:: \"z\";\nAPT::A \"3\";#clear D;\nE {\"\";};")
	want := aptConf{"apt::a": {"1", "3"}, "apt::b": {"2"}, "apt::c": {"x", "y"}, "e": {""}}
	if diff := cmp.Diff(want, conf); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, bad := range []string{"A {", "}", `A "x`, "/* x"} {
		if err := parseAptConf(make(aptConf), bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range probetest.Files(f, server) {
		f.Add(s)
	}
	f.Add("APT { Default-Release \"stable\"; };")
	f.Add("Package: *\nPin: release n=x*\nPin-Priority: 100\n")
	f.Fuzz(func(t *testing.T, s string) {
		if err := parseAptConf(make(aptConf), s); err != nil && err.Error() == "" {
			t.Error("empty error")
		}
		list, _ := parseSourcesList(s)
		set, _ := parseSources([]byte(s))
		for _, src := range append(list, set...) {
			if name := src.index("main", "amd64"); strings.Contains(strings.TrimPrefix(name, listsDir+"/"), "/") {
				t.Errorf("file name %q leaves the folder", name)
			}
		}
		r := &release{sizes: make(map[string]int64)}
		_ = r.parse([]byte(s))
		p := new(policy)
		_ = p.parse([]byte(s))
		p.priority("a", &version{text: "1", name: "a", offers: []*offer{{release: r}}})
		for _, g := range parseRelations(s) {
			for _, rel := range g {
				rel.accepts("1")
			}
		}
		_, _ = parseStatus(t.Context(), []byte(s))
	})
}

func FuzzStanzas(f *testing.F) {
	f.Add([]byte("A: b\n\nC: d\n\n\n\nE: f"))
	f.Add([]byte("A: b\n\nThe last: is longer than what stands before it"))
	f.Add([]byte("A: b\n\nC: \x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newStanzas(io.MultiReader(bytes.NewReader(data[:len(data)/2]), bytes.NewReader(data[len(data)/2:])))
		var got []byte
		for {
			s, err := in.next()
			if err != nil {
				if nul := bytes.IndexByte(data, 0) >= 0; errors.Is(err, io.EOF) == nul {
					t.Errorf("%q ends with %v", data, err)
				} else if nul {
					return
				}
				break
			}
			got = append(got, bytes.ReplaceAll(s, []byte("\n"), nil)...)
		}
		if want := bytes.ReplaceAll(data, []byte("\n"), nil); !bytes.Equal(got, want) {
			t.Errorf("%q became %q", want, got)
		}
	})
}

func FuzzLZ4(f *testing.F) {
	data, err := os.ReadFile("testdata/linked.lz4")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 255 // a byte of input gives at most 255 of output
		n, _ := io.Copy(io.Discard, io.LimitReader(newLZ4Reader(bytes.NewReader(data)), 64<<20))
		if n > int64(len(data))*most {
			t.Errorf("%d bytes from %d", n, len(data))
		}
	})
}

// BenchmarkFirstReading reads an index the size of Debian's (67,000 packages, 50 MB).
func BenchmarkFirstReading(b *testing.B) {
	stanza := strings.SplitAfter(probetest.Files(b, server)["var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages"], "\n\n")[0]
	var packages strings.Builder
	for i := range 67000 {
		packages.WriteString(strings.Replace(stanza, "Package: ", fmt.Sprintf("Package: p%d-", i), 1))
	}
	root := world{status: have("a 1"), repos: map[string]string{"d": stable + "|" + packages.String()}}.root(b)
	b.SetBytes(int64(packages.Len()))
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(probe.RootHost(root), New(Config{}))
	}
}

func BenchmarkUnchanged(b *testing.B) {
	probetest.Benchmark(b, probe.RootHost(probetest.Tree(b, probetest.Files(b, server))), New(Config{}))
}

func TestAMachineWithoutAPackageManagerHasAWholeVerdict(t *testing.T) {
	got := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"etc/hostname": "a\n"})), New(Config{}))
	state := got["patch_state"]
	if state.Status != facts.StatusOK || len(state.Rows) != 1 || state.Rows[0].(*facts.PatchStateRow).Verdict != facts.VerdictUnsupported {
		t.Errorf("patch_state: %+v", state)
	}
	for _, name := range []string{"patches", "repositories", "package_indexes"} {
		if s := got[name]; s.Status != facts.StatusUnsupported || s.Reason != "no package manager that can be judged" {
			t.Errorf("%s is %v (%s)", name, s.Status, s.Reason)
		}
	}
}
