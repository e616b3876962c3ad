package services

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const server = "debian-12-software"

func TestServicesOfARealHost(t *testing.T) {
	probetest.Golden(t, server, New())
}

// TestEnabledEqualsSystemctl asks the machine that runs the test; systemctl reads the
// unit files itself, systemd need not run.
func TestEnabledEqualsSystemctl(t *testing.T) {
	out, err := exec.Command("/usr/bin/systemctl", "list-unit-files", "--type=service,timer,socket", "--no-legend", "--no-pager", "--full").Output()
	if err != nil {
		t.Skipf("no systemctl here: %v", err)
	}
	h := probe.LiveHost()
	units := findUnits(h, &cache{units: make(map[string]*cached)})
	if units.problem != nil {
		t.Fatal(units.problem)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		want = append(want, f[0]+" "+f[1])
		if len(f) == 3 && f[2] != "-" && (f[1] == "enabled" || f[1] == "disabled") { // of others it also tells what nobody asked for
			want[len(want)-1] += " " + f[2]
		}
	}
	for name, f := range units.files {
		if f.template != "" {
			continue // no file
		}
		unit, enabled, err := units.read(h, name)
		if err != nil {
			t.Skipf("this user may not read it: %v", err)
		}
		line := name + " " + enabled
		if unit != nil && unit.installable && (enabled == "enabled" || enabled == "disabled") {
			line += " " + units.presets.of(name)
		}
		got = append(got, line)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unit files differ (-systemctl +got):\n%s", diff)
	}
}

func TestEnabledStates(t *testing.T) {
	const (
		etc     = "etc/systemd/system/"
		lib     = "usr/lib/systemd/system/"
		install = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n"
		link    = "-> /usr/lib/systemd/system/"
	)
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"static":            {map[string]string{lib + "x.service": "[Service]\nExecStart=/bin/x\n"}, "static"},
		"disabled":          {map[string]string{lib + "x.service": install}, "disabled"},
		"enabled":           {map[string]string{lib + "x.service": install, etc + "multi-user.target.wants/x.service": link + "x.service"}, "enabled"},
		"required":          {map[string]string{lib + "x.service": install, etc + "a.target.requires/x.service": link + "x.service"}, "enabled"},
		"enabled_runtime":   {map[string]string{lib + "x.service": install, "run/systemd/system/a.target.wants/x.service": link + "x.service"}, "enabled-runtime"},
		"vendor_link":       {map[string]string{lib + "x.service": install, lib + "a.target.wants/x.service": "-> ../x.service"}, "disabled"},
		"masked":            {map[string]string{lib + "x.service": install, etc + "x.service": "-> /dev/null"}, "masked"},
		"masked_runtime":    {map[string]string{lib + "x.service": install, "run/systemd/system/x.service": "-> /dev/null"}, "masked-runtime"},
		"masked_by_empty":   {map[string]string{etc + "x.service": ""}, "masked"},
		"alias":             {map[string]string{lib + "y.service": install, lib + "x.service": "-> y.service"}, "alias"},
		"enabled_by_alias":  {map[string]string{lib + "x.service": "[Install]\nAlias=z.service\n", etc + "z.service": link + "x.service"}, "enabled"},
		"indirect_by_also":  {map[string]string{lib + "x.service": "[Install]\nAlso=x.socket\n"}, "indirect"},
		"indirect_by_name":  {map[string]string{lib + "x.service": install, etc + "other.service": link + "x.service"}, "indirect"},
		"linked":            {map[string]string{etc + "x.service": "-> /opt/x/x.service", "opt/x/x.service": install}, "linked"},
		"generated":         {map[string]string{"run/systemd/generator.late/x.service": "[Service]\nExecStart=/etc/init.d/x start\n"}, "generated"},
		"etc_before_vendor": {map[string]string{lib + "x.service": install, etc + "x.service": "[Service]\nExecStart=/bin/y\n"}, "static"},
	} {
		t.Run(name, func(t *testing.T) {
			r := probetest.Sections(probe.RootHost(probetest.Tree(t, c.files)), New())["services"]
			for _, row := range r.Rows {
				if s := row.(*facts.ServiceRow); s.Name == "x" && s.Enabled != c.want {
					t.Errorf("enabled %q, want %q", s.Enabled, c.want)
				}
			}
			if r.Status != facts.StatusPartial || r.Reason != "what runs is not known: nothing says whether systemd runs" {
				t.Errorf("status %s, %s", r.Status, r.Reason)
			}
		})
	}
}

func TestStateComesFromControlGroups(t *testing.T) {
	files := map[string]string{
		"proc/1/comm":                                                                   "systemd\n",
		"usr/lib/systemd/system/web.service":                                            "[Service]\nExecStart=/usr/sbin/web --password x\nUser=www\n",
		"usr/lib/systemd/system/idle.service":                                           "[Service]\nExecStart=-/usr/sbin/idle\n",
		"usr/lib/systemd/system/once.service":                                           "[Service]\nType=oneshot\nExecStart=/bin/once\n",
		"usr/lib/systemd/system/getty@.service":                                         "[Unit]\nDescription=Getty on %I\n[Service]\nExecStart=-/sbin/agetty \\\n  -o x\n",
		"sys/fs/cgroup/system.slice/web.service/cgroup.procs":                           "12\n",
		"sys/fs/cgroup/system.slice/idle.service/cgroup.procs":                          "",
		"sys/fs/cgroup/system.slice/system-getty.slice/getty@tty1.service/cgroup.procs": "13\n",
	}
	want := "getty@  /sbin/agetty, getty@tty1 running /sbin/agetty, idle stopped /usr/sbin/idle, once  /bin/once, web running /usr/sbin/web"
	states := func() string {
		var got []string
		for _, row := range probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["services"].Rows {
			s := row.(*facts.ServiceRow)
			got = append(got, fmt.Sprintf("%s %s %s", s.Name, s.State, s.Exec))
		}
		return strings.Join(got, ", ")
	}
	if got := states(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	files["proc/1/comm"] = "init\n"
	if got := states(); strings.Contains(got, "running") || strings.Contains(got, "stopped") {
		t.Errorf("without systemd: %s", got)
	}
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["services"]
	if want := `what runs is not known: the first process is "init", not systemd`; r.Status != facts.StatusPartial || r.Reason != want {
		t.Errorf("without systemd: %v %q, want partial %q", r.Status, r.Reason, want)
	}
}

// TestServicesWhoseProcessesAreHiddenHaveNotStopped: stopped is said of what was seen to.
func TestServicesWhoseProcessesAreHiddenHaveNotStopped(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"proc/1/comm":                                          "systemd\n",
		"usr/lib/systemd/system/web.service":                   "[Service]\nExecStart=/usr/sbin/web\n",
		"usr/lib/systemd/system/idle.service":                  "[Service]\nExecStart=/usr/sbin/idle\n",
		"sys/fs/cgroup/system.slice/web.service/cgroup.procs":  "12\n",
		"sys/fs/cgroup/system.slice/idle.service/cgroup.procs": "",
	})
	probetest.Deny(t, root, "sys/fs/cgroup/system.slice/idle.service/cgroup.procs")
	r := probetest.Sections(probe.RootHost(root), New())["services"]
	var got []string
	for _, row := range r.Rows {
		got = append(got, row.(*facts.ServiceRow).Name+" "+row.(*facts.ServiceRow).State)
	}
	if want := "idle , web running"; strings.Join(got, ", ") != want || !strings.HasPrefix(r.Reason, "which services have stopped is not known: ") {
		t.Errorf("%s (%v %q), want %s", strings.Join(got, ", "), r.Status, r.Reason, want)
	}
}

func TestDropInsOverride(t *testing.T) {
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		"usr/lib/systemd/system/x.service":             "[Unit]\nDescription=old\n[Service]\nExecStart=/bin/old\n",
		"usr/lib/systemd/system/x.service.d/10-a.conf": "[Service]\nUser=vendor\n",
		"etc/systemd/system/x.service.d/10-a.conf":     "[Service]\nUser=admin\n",
		"etc/systemd/system/x.service.d/20-b.conf":     "[Service]\nExecStart=\nExecStart=!/bin/new -x\n",
		"etc/systemd/system/x.service.d/not-a-drop-in": "[Service]\nUser=nobody\n",
	})), New())["services"]
	got := *r.Rows[0].(*facts.ServiceRow)
	want := facts.ServiceRow{Name: "x", Description: "old", Enabled: "static", Exec: "/bin/new", User: "admin", Path: "/usr/lib/systemd/system/x.service", Manager: "systemd", Type: "simple"}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDropInsOfManyUnits: of the type, of what the name begins with, of a template and of an
// alias. The name of a file counts once, that in /etc first, wherever its folder is from.
func TestDropInsOfManyUnits(t *testing.T) {
	const lib, etc = "usr/lib/systemd/system/", "etc/systemd/system/"
	start := "[Service]\nExecStart=/bin/a\n"
	rows := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		lib + "a-b-c.service": "\uFEFF" + start, lib + "b.service": start, lib + "t-x@.service": "[Unit]\nDescription=T\n" + start,
		etc + "alias.service": "-> /" + lib + "b.service", etc + "m.wants/t-x@1.service": "-> /" + lib + "t-x@.service",
		etc + "service.d/a.conf":        "[Service]\nUser=all\nRestart=always\n",
		etc + "a-.service.d/b.conf":     "[Service]\nUser=prefix\n",
		lib + "a-b-.service.d/b.conf":   "[Service]\nUser=vendor\n",
		lib + "a-b-.service.d/c.conf":   "[Service]\nType=exec\n",
		lib + "a-b.service.d/z.conf":    "[Service]\nUser=other\n",
		etc + "alias.service.d/b.conf":  "[Service]\nUser=alias\n",
		etc + "t-.service.d/t.conf":     "[Service]\nUser=no\n",
		etc + "t-@.service.d/t.conf":    "[Service]\nUser=template\n",
		etc + "t-x@1.service.d/u.conf":  "[Unit]\nDescription=One\n",
		etc + "m.wants/t-y@1.service":   "-> /" + lib + "t-y@.service",
		lib + "m.wants/t-x@2.service":   "-> ../t-x@.service",
		"run/systemd/generator/x":       "",
		"run/systemd/system/m.wants/b":  "",
		etc + "m.wants/t-x@.service":    "-> /" + lib + "t-x@.service",
		lib + "b.service.d/none":        "",
		lib + "service.d/not-a-drop-in": "[Service]\nUser=nobody\n",
	})), New())["services"].Rows
	var got []string
	for _, row := range rows {
		s := row.(*facts.ServiceRow)
		got = append(got, strings.Join([]string{s.Name, s.Enabled, s.User, s.Type, s.Restart, s.Exec, s.Description, s.Path}, ","))
	}
	want := []string{
		"a-b-c,static,prefix,exec,always,/bin/a,,/" + lib + "a-b-c.service", "alias,alias,,,,,,/" + etc + "alias.service",
		"b,indirect,alias,simple,always,/bin/a,,/" + lib + "b.service", "t-x@,enabled,template,simple,always,/bin/a,T,/" + lib + "t-x@.service",
		"t-x@1,enabled,template,simple,always,/bin/a,One,/" + lib + "t-x@.service",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOpenRC(t *testing.T) {
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		"etc/init.d/sshd":            "#!/sbin/openrc-run\n",
		"etc/init.d/crond":           "#!/sbin/openrc-run\n",
		"etc/init.d/functions.sh":    "#!/bin/sh\n",
		"etc/runlevels/default/sshd": "-> /etc/init.d/sshd",
		"run/openrc/started/sshd":    "-> /etc/init.d/sshd",
	})), New())["services"]
	var got []string
	for _, row := range r.Rows {
		s := row.(*facts.ServiceRow)
		got = append(got, strings.Join([]string{s.Manager, s.Name, s.Enabled, s.State}, " "))
	}
	if s := strings.Join(got, ", "); s != "openrc crond disabled stopped, openrc sshd enabled running" || r.Status != facts.StatusOK {
		t.Error(s, r.Status, r.Reason)
	}
}

// TestWhatRunsIsUnknownInFull: a query for failed services must not look answered, and yet
// what was removed leaves.
func TestWhatRunsIsUnknownInFull(t *testing.T) {
	const dir = "usr/lib/systemd/system/"
	f := func(reason string, files map[string]string) {
		t.Helper()
		files[dir+"a.service"] = "[Service]\nExecStart=/bin/a\n"
		files[dir+"a.timer"], files[dir+"a.socket"] = "[Timer]\nOnCalendar=daily\n", "[Socket]\nListenStream=1\n"
		for _, got := range probe.RunOnce(t.Context(), probe.RootHost(probetest.Tree(t, files)), New()).Readings {
			want := reason
			if got.Section != facts.Services {
				_, why, _ := strings.Cut(strings.Split(reason, ";")[0], ": ")
				want = "which are active is not known: " + why
			}
			if got.Status != facts.StatusPartial || got.Reason != want {
				t.Errorf("%s: %v %q, want partial %q", got.Section, got.Status, got.Reason, want)
				continue
			}
			if got.Section != facts.Services {
				if !got.Gone(got.Rows[0]) {
					t.Errorf("%s: a row without its file stays", got.Section)
				}
				continue
			}
			for row, want := range map[*facts.ServiceRow]bool{
				{Name: "removed", Manager: "systemd", Path: "/" + dir + "removed.service"}:   true,
				{Name: "old", Manager: "sysvinit", Path: "/etc/init.d/old"}:                  true,
				{Name: "getty@tty1", Manager: "systemd", Path: "/" + dir + "getty@.service"}: false,
				{Name: "run-r1", Manager: "systemd"}:                                         false,
			} {
				if is := got.Gone(row); is != want {
					t.Errorf("%s is gone: %v, want %v", row.Name, is, want)
				}
			}
		}
	}
	f("what runs is not known: nothing says whether systemd runs", map[string]string{})
	f(`what runs is not known: the first process is "init", not systemd`, map[string]string{"proc/1/comm": "init\n"})
	f("what runs is not known: there are no control groups", map[string]string{"proc/1/comm": "systemd\n"})
	f("failed services are shown as stopped: only systemd itself tells, where it runs", map[string]string{
		"proc/1/comm": "systemd\n", "sys/fs/cgroup/system.slice/a.service/cgroup.procs": "7\n",
	})
	f("what runs is not known: nothing says whether systemd runs; not all init scripts and supervised services note whether they run", map[string]string{
		"etc/init.d/b": "#!/bin/sh\n",
	})
}

// TestRunit: services are folders, links enable them, and what runsv noted tells the state
// as long as the process is there.
func TestRunit(t *testing.T) {
	status := func(pid, state byte) string {
		return strings.Repeat("t", 12) + string([]byte{pid, 0, 0, 0, 0, 'u', 0, state})
	}
	root := probetest.Tree(t, map[string]string{
		"etc/sv/sshd/run": "#!/bin/sh\n", "etc/sv/ntpd/run": "#!/bin/sh\n", "etc/sv/held/run": "#!/bin/sh\n", "etc/sv/held/down": "",
		"etc/sv/none/log": "", "etc/sv/gone/run": "", "etc/sv/cut/run": "", "srv/own/run": "#!/bin/sh\n",
		"etc/runit/runsvdir/default/sshd": "-> /etc/sv/sshd", "etc/runit/runsvdir/default/held": "-> /etc/sv/held", "etc/service/own": "-> /srv/own",
		"etc/sv/sshd/supervise": "-> /run/runit/supervise.sshd", "run/runit/supervise.sshd/status": status(7, 1), "etc/sv/ntpd/supervise/status": status(0, 0),
		"etc/sv/gone/supervise/status": status(8, 1), "etc/sv/cut/supervise/status": "cut", "proc/7/comm": "sshd\n", "proc/1/comm": "runit\n",
	})
	s := probetest.Sections(probe.RootHost(root), New())["services"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.ServiceRow)
		got = append(got, strings.Join([]string{r.Manager, r.Name, r.Enabled, r.State, r.Path}, " "))
	}
	want := []string{
		"runit cut disabled  /etc/sv/cut/run", "runit gone disabled stopped /etc/sv/gone/run", "runit held disabled stopped /etc/sv/held/run",
		"runit ntpd disabled stopped /etc/sv/ntpd/run", "runit own enabled stopped /etc/service/own/run", "runit sshd enabled running /etc/sv/sshd/run",
	}
	if diff := cmp.Diff(want, got); diff != "" || s.Status != facts.StatusPartial || !strings.Contains(s.Reason, "not all init scripts") {
		t.Errorf("%s %s -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

func TestBadUnitsAreNamed(t *testing.T) {
	const dir = "usr/lib/systemd/system/"
	root := probetest.Tree(t, map[string]string{
		dir + "good.service": "[Service]\nExecStart=/bin/x\n",
		dir + "nul.service":  "[Service]\nExec\x00Start=/bin/x\n",
		dir + "long.service": "[Unit]\nDescription=" + strings.Repeat("x", 1<<20) + "\n",
		dir + "gone.service": "-> /usr/lib/systemd/system/gone.service",
	})
	if err := os.Mkdir(filepath.Join(root, dir, "folder.service"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := probetest.Sections(probe.RootHost(root), New())["services"]
	if r.Status != facts.StatusPartial || len(r.Rows) != 5 {
		t.Errorf("status %s with %d rows", r.Status, len(r.Rows))
	}
	for _, name := range []string{"nul", "folder"} {
		if !strings.Contains(r.Reason, name+service) {
			t.Errorf("%s is not named in %q", name, r.Reason)
		}
	}
}

func TestTimersAndSockets(t *testing.T) {
	const dir = "usr/lib/systemd/system/"
	got := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		dir + "a.timer":                                  "[Unit]\nDescription=A\n[Timer]\nOnCalendar=daily\nOnCalendar=*-*-01 04:00\nPersistent=true\nRandomizedDelaySec=1h\n[Install]\nWantedBy=timers.target\n",
		dir + "a.timer.d/x.conf":                         "[Timer]\nOnCalendar=\nOnBootSec=5min\nOnClockChange=yes\n",
		dir + "b.timer":                                  "[Timer]\nOnUnitActiveSec=1h\nUnit=other.service\n",
		"etc/systemd/system/c.timer":                     "-> /dev/null",
		"etc/systemd/system/timers.target.wants/a.timer": "-> /usr/lib/systemd/system/a.timer",
		dir + "s.socket":                                 "[Socket]\nListenStream=%t/s.sock\nListenStream=22\nListenNetlink=kobject-uevent 1\nAccept=yes\nSocketMode=0600\nSocketUser=me\n",
		dir + "u.socket":                                 "[Socket]\nListenStream=1\nListenStream=\nListenDatagram=/dev/log\nService=log.service\n",
	})), New())
	var lines []string
	for _, row := range got["timers"].Rows {
		r := row.(*facts.TimerRow)
		lines = append(lines, fmt.Sprint(r.Name, " ", r.Unit, " ", r.Schedule, " ", r.Enabled, " ", r.Persistent, " ", r.RandomDelay, " ", r.Active))
	}
	for _, row := range got["unit_sockets"].Rows {
		r := row.(*facts.UnitSocketRow)
		lines = append(lines, fmt.Sprint(r.Name, " ", r.Kind, " ", r.Address, " ", r.Service, " ", r.Accept, " ", r.User, " ", r.Mode))
	}
	want := []string{
		"a a.service [OnBootSec=5min OnClockChange] enabled true 1h <nil>",
		"b other.service [OnUnitActiveSec=1h] static false  <nil>",
		"c c.service [] masked false  <nil>",
		"s netlink kobject-uevent 1 s@.service true me 0600",
		"s stream /run/s.sock s@.service true me 0600",
		"s stream 22 s@.service true me 0600",
		"u datagram /dev/log log.service false  ",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPresets(t *testing.T) {
	p := parsePresets("# c\nenable ssh.service\nenable getty@.service tty1 tty2\ndisable x*.service\nignore odd.*\ndisable [\nnonsense\ndisable *\n")
	for name, want := range map[string]string{"ssh.service": "enabled", "xy.service": "disabled", "odd.socket": "ignored", "z.timer": "disabled",
		"getty@tty1.service": "enabled", "getty@tty9.service": "disabled"} {
		if got := p.of(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := presets(nil).of("a.service"); got != "enabled" {
		t.Errorf("without rules: %s", got)
	}
}

func TestChangedUnitsAreReadAgain(t *testing.T) {
	const file = "usr/lib/systemd/system/x.service"
	root := probetest.Tree(t, map[string]string{file: "[Service]\nExecStart=/bin/a\n"})
	p, h := New(), probe.RootHost(root)
	exe := func() string {
		return probetest.Sections(h, p)["services"].Rows[0].(*facts.ServiceRow).Exec
	}
	for _, want := range []string{"/bin/a", "/bin/a", "/bin/new"} {
		if want == "/bin/new" {
			probetest.Write(t, root, file, []byte("[Service]\nExecStart=/bin/new\n"))
		}
		if got := exe(); got != want {
			t.Errorf("starts %s, want %s", got, want)
		}
	}
}

func TestNoInitSystemIsUnsupported(t *testing.T) {
	if r := probetest.Sections(probe.RootHost(t.TempDir()), New())["services"]; r.Status != facts.StatusUnsupported {
		t.Errorf("status %s, %s", r.Status, r.Reason)
	}
}

func TestCutUnitsDoNotPanic(t *testing.T) {
	for name, text := range probetest.Files(t, server) {
		if !strings.HasSuffix(name, service) {
			continue
		}
		for n, cut := range probetest.Cuts(text) {
			if _, err := parseUnit([]byte(cut)); err != nil {
				t.Fatalf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	for name, text := range probetest.Files(f, server) {
		if strings.HasSuffix(name, service) {
			f.Add(text)
		}
	}
	f.Add("[Service]\nExecStart=\\\n# c\n\\")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseUnit([]byte(s))
		if err != nil {
			return
		}
		for _, line := range u.exec {
			if p := program(line); len(p) > len(line) {
				t.Errorf("program(%q) = %q", line, p)
			}
		}
	})
}

func BenchmarkServices(b *testing.B) {
	root := probetest.Tree(b, probetest.Files(b, server))
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(probe.RootHost(root), New())
	}
}
