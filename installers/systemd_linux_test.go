package installers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestServicesUnderSystemd installs both programs in a booted Debian and lives through
// what a service lives through. It needs the programs in ../bin: make test-service.
// The steps build on each other, so the first that fails ends it.
func TestServicesUnderSystemd(t *testing.T) {
	if os.Getenv("ATALAYA_SERVICE_TEST") == "" {
		t.Skip("boots a container; run it with: make test-service")
	}
	c := boot(t)
	for _, program := range []string{"atalaya", "atalaya-agent"} {
		host(t, "install", "-m", "755", "../bin/"+program, c.root+"/usr/bin/")
	}
	for _, step := range []struct {
		name string
		f    func(*container)
	}{
		{"VerbsKnowThatNothingIsInstalled", verbsBeforeInstall},
		{"CollectorInstallsAndStarts", collectorStarts},
		{"AgentWaitsForItsEnrolment", agentNotEnrolled},
		{"AgentRunsWithTwoCapabilities", agentStarts},
		{"UnitsAreCleanAndClosed", unitsVerify},
		{"PlainUsersAreRefusedInOneLine", plainUser},
		{"RootSeesStatusAndCost", statusAndCost},
		{"AgentReportsWhatRootSees", agentSeesAll},
		{"PrivateKeysStayClosed", keysUnopened},
		{"ServicesAreSystemdsOwn", servicesMatch},
		{"SocketsHaveTheirProcess", socketsMatch},
		{"NewHostNameIsReported", hostRenamed},
		{"HelperStartsInTheSandbox", helperStarts},
		{"OptionalRightsAreTaken", optionalRights},
		{"LimitsAreFarAway", limitsFar},
		{"JournalIsQuiet", journalQuiet},
		{"KilledAgentIsBackWithinFiveSeconds", agentKilled},
		{"HungAgentIsRestarted", agentHung},
		{"BothStartAtBoot", bothStartAtBoot},
		{"UninstallLeavesOnlyTheState", uninstall},
		{"HostIsTheSameAfterInstallingAgain", installAgain},
		{"CollectorUninstalls", collectorUninstalls},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			c.t = t
			step.f(c)
		})
		c.t = t
		if !ok {
			log, _ := c.try("journalctl", "--no-pager", "-n", "40", "-u", "atalaya", "-u", "atalaya-agent")
			t.Fatalf("journal:\n%s", log)
		}
	}
}

// refused checks that a command fails with one line that holds a text.
func (c *container) refused(text string, words ...string) {
	c.t.Helper()
	stdout, stderr, code := c.exec(words...)
	if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, text) {
		c.t.Errorf("%s: exit status %d, want 1 and one line with %q\n%s%s", strings.Join(words, " "), code, text, stdout, stderr)
	}
}

// active checks that a service runs.
func (c *container) active(unit string) {
	c.t.Helper()
	if out, _ := c.try("systemctl", "is-active", unit); out != "active" {
		c.t.Fatalf("%s is %s", unit, out)
	}
}

// processes returns the programs of that name that run.
func (c *container) processes(program string) string {
	out, _ := c.try("busybox", "pidof", program)
	return out
}

// journal returns what a unit has logged since a cursor; "" is from the beginning.
func (c *container) journal(unit, cursor string) string {
	words := []string{"journalctl", "--no-pager", "-q", "-o", "cat", "-u", unit}
	if cursor != "" {
		words = append(words, "--after-cursor", cursor)
	}
	return c.run(words...)
}

func (c *container) cursor() string {
	out := c.run("journalctl", "-q", "-o", "cat", "-n", "1", "--show-cursor")
	_, cursor, _ := strings.Cut(out, "cursor: ")
	return cursor
}

func verbsBeforeInstall(c *container) {
	for _, program := range []string{"atalaya", "atalaya-agent"} {
		for _, verb := range []string{"start", "stop", "uninstall"} {
			c.refused("not installed", program, verb)
		}
	}
	c.refused("not enrolled", "atalaya-agent", "status")
	for _, verb := range []string{"install", "start", "stop", "uninstall"} {
		c.refused("run as root", append(nobody, "atalaya-agent", verb)...)
	}
	c.sh("mkdir -p /root/bin; cp /usr/bin/atalaya /root/bin/")
	c.refused("does not see /root: run `install -m 755 /root/bin/atalaya /usr/bin/`", "/root/bin/atalaya", "install")
}

func collectorStarts(c *container) {
	c.run("atalaya", "install")
	c.refused("installed already", "atalaya", "install")
	c.run("atalaya", "start")
	c.active("atalaya")
	if out := c.run("systemctl", "is-enabled", "atalaya"); out != "enabled" {
		c.t.Errorf("at boot the collector is %s", out)
	}
}

func agentNotEnrolled(c *container) {
	c.run("atalaya-agent", "install")
	c.refused("installed already", "atalaya-agent", "install")
	c.refused("enroll", "atalaya-agent", "start")
	if out := c.property("atalaya-agent", "ActiveState"); out != "inactive" {
		c.t.Errorf("without enrolment the agent is %s", out)
	}
}

func agentStarts(c *container) {
	c.write("/etc/atalaya/agent.yml", "interval: 1s\n")
	c.sh("umask 077; atalaya token create --address 127.0.0.1:7443 >/run/token")
	c.run("atalaya-agent", "enroll", "--token-file", "/run/token")
	c.run("atalaya-agent", "start")
	c.active("atalaya-agent")
	status := c.sh("cat /proc/$(systemctl show --value -p MainPID atalaya-agent)/status")
	for _, want := range []string{
		`Uid:\t` + c.run("id", "-u", "atalaya-agent") + `\t`, // the system user that install has made
		`CapEff:\t0{11}80004\n`, `CapBnd:\t0{11}80004\n`,     // CAP_DAC_READ_SEARCH is 2, CAP_SYS_PTRACE 19
		`NoNewPrivs:\t1\n`, `Seccomp:\t2\n`,
	} {
		if !regexp.MustCompile(want).MatchString(status) {
			c.t.Errorf("the agent's process has no %q\n%s", want, status)
		}
	}
	c.wait(20*time.Second, "the collector shows the host as online", func() (string, bool) {
		hosts := c.hosts()
		return fmt.Sprint(hosts), len(hosts) == 1 && hosts[0].State == "online" && hosts[0].Name == "web1" && hosts[0].Packages > 50
	})
}

// hostLine is one host as `atalaya host list` has it.
type hostLine struct {
	ID, Name, State string
	Packages        int
}

func (c *container) hosts() []hostLine {
	c.t.Helper()
	var doc struct{ Hosts []hostLine }
	c.decode(c.run("atalaya", "host", "list", "--output", "json"), &doc)
	return doc.Hosts
}

func (c *container) decode(text string, v any) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		c.t.Fatalf("%v in %.300s", err, text)
	}
}

// unitsVerify bounds the exposure by what the units had when the test was written.
func unitsVerify(c *container) {
	for unit, limit := range map[string]float64{"atalaya": 1.3, "atalaya-agent": 2.6} {
		file := "/etc/systemd/system/" + unit + ".service"
		if out, code := c.try("systemd-analyze", "verify", file); code != 0 || out != "" {
			c.t.Errorf("systemd-analyze verify %s: exit status %d\n%s", unit, code, out)
		}
		out := c.run("systemd-analyze", "security", "--no-pager", unit)
		m := regexp.MustCompile(`Overall exposure level for .*: (\d+\.\d)`).FindStringSubmatch(out)
		if m == nil {
			c.t.Fatalf("systemd-analyze security %s: %s", unit, out)
		}
		if n, err := strconv.ParseFloat(m[1], 64); err != nil || n > limit {
			c.t.Errorf("%s has exposure %s, want at most %v\n%s", unit, m[1], limit, out)
		}
		c.t.Logf("systemd-analyze security: %s %s", unit, m[1])
	}
}

func plainUser(c *container) {
	for _, verb := range []string{"install", "start", "stop", "uninstall", "status", "cost"} {
		c.refused("run as root", append(nobody, "atalaya-agent", verb)...)
	}
	for _, verb := range []string{"install", "start", "stop", "uninstall"} {
		c.refused("run as root", append(nobody, "atalaya", verb)...)
	}
	c.active("atalaya-agent")
}

func statusAndCost(c *container) {
	if out := c.run("atalaya-agent", "status"); !strings.Contains(out, "127.0.0.1:7443, connected") {
		c.t.Errorf("status:\n%s", out)
	}
	if out := c.run("atalaya-agent", "cost"); !strings.Contains(out, "packages ") {
		c.t.Errorf("cost:\n%s", out)
	}
}

// section is one section of an inventory, by root's own command or as the collector has it.
type section struct {
	Status, Reason string
	ObservedAt     time.Time `json:"observed_at"`
	Rows           []map[string]any
}

// reported returns what the collector has, once it has something newer than now.
func (c *container) reported(restart bool) map[string]section {
	c.t.Helper()
	start := time.Now()
	if restart {
		c.run("systemctl", "restart", "atalaya-agent")
	}
	var doc struct{ Sections map[string]section }
	c.wait(30*time.Second, "a complete report", func() (string, bool) {
		c.decode(c.run("atalaya", "host", "show", c.hosts()[0].ID, "--output", "json"), &doc)
		old := ""
		for name, s := range doc.Sections {
			if restart && s.ObservedAt.Before(start) {
				old += " " + name
			}
		}
		return "older:" + old, old == "" && len(doc.Sections) > 0
	})
	return doc.Sections
}

// stage gives the host things that a sandbox could hide.
const stage = `
mkdir -p /srv/vol /home/x /tmp/m /root/m
mount -t tmpfs -o size=4m vol /srv/vol; mount -t tmpfs -o size=5m home /home/x
mount -t tmpfs -o size=6m tmp /tmp/m; mount -t tmpfs -o size=7m root /root/m; mount -t tmpfs -o size=8m,ro shm /mnt
useradd -m alice; useradd -s /usr/sbin/nologin bob; groupadd crew; usermod -aG crew alice
ip link add v0 type veth peer name v1; ip addr add 192.0.2.1/24 dev v0; ip addr add 2001:db8::1/64 dev v0 nodad
ip link set v0 up; ip link set v1 up; ip route add 198.51.100.0/24 via 192.0.2.9
systemd-run -q --unit=listen-root busybox nc -l -p 8099
systemd-run -q --unit=listen-alice --uid=alice busybox nc -l -p 8100
systemd-run -q --unit=breaks false
echo alice:correct-horse | chpasswd
for home in /root /home/alice; do
  mkdir -p $home/.ssh; cp /etc/test-key.pub $home/.ssh/authorized_keys; echo secret >$home/.ssh/id_ed25519
done
mkdir -p /etc/ssh; echo secret >/etc/ssh/ssh_host_ed25519_key; echo secret >/etc/krb5.keytab
`

// rootsParameters are files below /proc/sys whose mode counts for capabilities too.
var rootsParameters = map[string]bool{"vm.mmap_rnd_bits": true, "net.core.bpf_jit_harden": true}

// agentSeesAll compares the rows that the sandboxed agent reported with those of root.
func agentSeesAll(c *container) {
	key := append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), make([]byte, 32)...)
	c.write("/etc/test-key.pub", "ssh-ed25519 "+base64.StdEncoding.EncodeToString(key)+" anna@desk\n")
	c.sh(stage)
	got := c.reported(true)
	var want struct{ Sections map[string]section }
	c.decode(c.run("atalaya-agent", "inventory", "--format", "json"), &want)
	for name, w := range want.Sections {
		g, ok := got[name]
		if !ok {
			c.t.Errorf("%s: not reported", name)
			continue
		}
		w = lesser(name, g, w)
		if g.Status != w.Status || g.Reason != w.Reason {
			c.t.Errorf("%s: the agent says %s %q, root %s %q", name, g.Status, g.Reason, w.Status, w.Reason)
		}
		if d := cmp.Diff(byText(w.Rows), byText(g.Rows)); d != "" {
			c.t.Errorf("%s: root's inventory (-), the agent's report (+):\n%s", name, d)
		}
	}
	for _, name := range []string{"packages", "users", "groups", "services", "listening_sockets", "filesystems", "interfaces", "routes", "addresses"} {
		if s := got[name]; s.Status != "ok" || len(s.Rows) == 0 {
			c.t.Errorf("%s: %s, %d rows", name, s.Status, len(s.Rows))
		}
		c.t.Logf("%s: %d rows, as root sees them", name, len(got[name].Rows))
	}
	c.passwordsMatch(got["users"].Rows)
	if n := len(got["authorized_keys"].Rows); n != 2 || got["authorized_keys"].Status != "ok" {
		c.t.Errorf("authorized keys: %+v", got["authorized_keys"])
	}
	for line := range strings.Lines(c.journal("atalaya-agent", "")) {
		if strings.Contains(line, "not complete") && !strings.Contains(line, "CAP_NET_ADMIN") {
			c.t.Errorf("the sandbox keeps something from the agent: %s", line)
		}
	}
	for _, mount := range []string{"/srv/vol", "/home/x", "/tmp/m", "/root/m", "/mnt"} {
		if !slices.ContainsFunc(got["filesystems"].Rows, func(r map[string]any) bool { return r["mount"] == mount && r["size_bytes"] != nil }) {
			c.t.Errorf("the file system on %s is missing, or has no size", mount)
		}
	}
}

// lesser is what root sees, less what the agent knowingly does not: what it says so of,
// and its own socket.
func lesser(name string, got, root section) section {
	without := func(drop func(row map[string]any) bool) { root.Rows = slices.DeleteFunc(root.Rows, drop) }
	switch {
	case name == "kernel_parameters" && strings.Contains(got.Reason, "only root may read"):
		for _, row := range root.Rows {
			if rootsParameters[row["name"].(string)] {
				delete(row, "value")
				delete(row, "differs")
			}
		}
		root.Reason = got.Reason
	case name == "firewall" && strings.Contains(got.Reason, "CAP_NET_ADMIN") && (got.Status == "denied" || got.Status == "partial"):
		without(func(row map[string]any) bool { return row["name"] == "nftables" })
		root.Status, root.Reason = got.Status, got.Reason
	case name == "listening_sockets": // its one client's socket, which cannot be told from a server's; no pid is sent (ADR 31)
		without(func(row map[string]any) bool {
			delete(row, "pid")
			return row["process"] == "atalaya-agent" && strings.HasPrefix(fmt.Sprint(row["protocol"]), "udp")
		})
	}
	return root
}

// byText sorts rows by their text: the two sides need not have the same order.
func byText(rows []map[string]any) []string {
	var out []string
	for _, r := range rows {
		b, err := json.Marshal(r) // keys come sorted
		if err != nil {
			panic(err)
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// servicesMatch compares names, enabled and states with systemctl.
func servicesMatch(c *container) {
	got := make(map[string]map[string]any)
	for _, r := range c.reported(false)["services"].Rows {
		got[r["name"].(string)] = r
	}
	files := 0
	for line := range strings.Lines(c.run("systemctl", "list-unit-files", "--no-legend", "--no-pager", "-t", "service")) {
		f := strings.Fields(line)
		name := strings.TrimSuffix(f[0], ".service")
		if r, ok := got[name]; !ok || r["enabled"] != f[1] {
			c.t.Errorf("%s is %s, reported %v", name, f[1], r)
		}
		files++
	}
	states := map[string]int{}
	for line := range strings.Lines(c.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "-t", "service")) {
		f := strings.Fields(line)
		r, ok := got[strings.TrimSuffix(f[0], ".service")]
		if !ok {
			continue // known by name only, or an instance that does not run
		}
		want := map[string]string{"running": "running", "dead": "stopped", "failed": "failed", "exited": "exited"}[f[3]]
		if r["state"] != want && r["enabled"] != "masked" {
			c.t.Errorf("%s is %s, reported as %v", f[0], f[3], r["state"])
		}
		states[f[3]]++
	}
	if got["breaks"]["state"] != "failed" {
		c.t.Errorf("a failed service is reported as %v", got["breaks"])
	}
	c.t.Logf("%d unit files; of the loaded ones %v", files, states)
}

// socketsMatch compares with ss: each listening socket with the name of its program.
func socketsMatch(c *container) {
	var want, got []string
	program := regexp.MustCompile(`users:\(\("([^"]+)"`)
	for line := range strings.Lines(c.run("ss", "-Hlntup")) {
		f := strings.Fields(line)
		name := ""
		if m := program.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		if f[0] == "udp" && name == "atalaya-agent" {
			continue // see lesser
		}
		want = append(want, fmt.Sprintf("%s %s %s", f[0], f[4][strings.LastIndex(f[4], ":")+1:], name))
	}
	for _, r := range c.reported(false)["listening_sockets"].Rows {
		proto := strings.TrimSuffix(fmt.Sprint(r["protocol"]), "6")
		got = append(got, fmt.Sprintf("%s %v %v", proto, r["port"], r["process"]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(slices.Compact(want), slices.Compact(got)); d != "" {
		c.t.Errorf("ss (-), reported (+):\n%s", d)
	}
	c.t.Logf("%q", got)
}

func hostRenamed(c *container) {
	c.run("hostnamectl", "set-hostname", "web2")
	took := c.wait(15*time.Second, "the new name", func() (string, bool) {
		rows := c.reported(false)["os"].Rows
		return fmt.Sprint(rows), len(rows) == 1 && rows[0]["hostname"] == "web2"
	})
	c.t.Logf("shown after %v", took.Round(100*time.Millisecond))
}

func journalQuiet(c *container) {
	cursor := c.cursor()
	c.wait(20*time.Second, "fifteen readings", func() (string, bool) {
		return "", c.sh("atalaya-agent status >/dev/null; sleep 15; echo done") == "done"
	})
	for _, unit := range []string{"atalaya", "atalaya-agent"} {
		if log := c.journal(unit, cursor); log != "" {
			c.t.Errorf("%s logged while nothing happened:\n%s", unit, log)
		}
	}
}

// restarted waits for another main process that works.
func (c *container) restarted(old string, limit time.Duration) time.Duration {
	c.t.Helper()
	return c.wait(limit, "another process that works", func() (string, bool) {
		pid := c.property("atalaya-agent", "MainPID")
		state := c.property("atalaya-agent", "ActiveState")
		return state + " " + pid, pid != old && pid != "0" && state == "active"
	})
}

func (c *container) kill(sig, pid string) {
	c.t.Helper()
	c.sh("kill -" + sig + " " + pid)
}

func agentKilled(c *container) {
	for _, sig := range []string{"KILL", "SEGV"} {
		old := c.property("atalaya-agent", "MainPID")
		c.kill(sig, old)
		c.t.Logf("SIG%s: back after %v", sig, c.restarted(old, 5*time.Second).Round(100*time.Millisecond))
	}
	c.connected()
}

func (c *container) connected() {
	c.t.Helper()
	c.wait(20*time.Second, "a session", func() (string, bool) {
		out, _ := c.try("atalaya-agent", "status")
		return out, strings.Contains(out, ", connected for ")
	})
}

func agentHung(c *container) {
	if got := c.property("atalaya-agent", "WatchdogUSec"); got != "2min" {
		c.t.Errorf("the unit's watchdog waits %s, want 2min", got)
	}
	impatient := func(interval string) {
		c.write("/etc/atalaya/agent.yml", "interval: "+interval+"\n")
		c.sh(`mkdir -p /run/systemd/system/atalaya-agent.service.d
printf '[Service]\nWatchdogSec=4\n' >/run/systemd/system/atalaya-agent.service.d/test.conf
systemctl daemon-reload; systemctl restart atalaya-agent`)
		c.connected()
	}
	for _, interval := range []string{"5s", "1s"} { // 5 s is longer than the unit's limit
		impatient(interval)
		old := c.property("atalaya-agent", "MainPID")
		c.sh("sleep 11")
		if now := c.property("atalaya-agent", "MainPID"); now != old {
			c.t.Fatalf("the watchdog ended an agent that works, with readings each %s", interval)
		}
	}
	old := c.property("atalaya-agent", "MainPID")
	cursor := c.cursor()
	c.kill("STOP", old)
	c.t.Logf("back after %v with a limit of 4 s", c.restarted(old, 30*time.Second).Round(100*time.Millisecond))
	if log := c.journal("atalaya-agent", cursor); !strings.Contains(log, "Watchdog timeout") {
		c.t.Errorf("journal: %.500s", log)
	}
	c.sh(`rm -r /run/systemd/system/atalaya-agent.service.d; systemctl daemon-reload; systemctl restart atalaya-agent`)
	c.connected()
}

func bothStartAtBoot(c *container) {
	before := c.hosts()
	c.powerOff()
	c.powerOn()
	c.active("atalaya")
	c.active("atalaya-agent")
	c.connected()
	if after := c.hosts(); len(after) != 1 || after[0].ID != before[0].ID {
		c.t.Errorf("hosts: %v, before %v", after, before)
	}
	if out, _ := c.try("systemctl", "--failed", "--plain", "--no-legend"); out != "" {
		c.t.Errorf("failed after boot: %s", out)
	}
}

func uninstall(c *container) {
	c.run("atalaya-agent", "stop")
	if p := c.processes("atalaya-agent"); p != "" {
		c.t.Errorf("process %s runs after stop", p)
	}
	c.refused("the service is stopped", "atalaya-agent", "status")
	c.run("atalaya-agent", "start")
	c.connected()
	c.run("atalaya-agent", "uninstall")
	if p := c.processes("atalaya-agent"); p != "" {
		c.t.Errorf("process %s runs after uninstall", p)
	}
	c.gone("atalaya-agent")
	c.run("id", "atalaya-agent")
	c.sh("test -s /var/lib/atalaya-agent/host.key && test -s /var/lib/atalaya-agent/host.pem")
	c.refused("not installed", "atalaya-agent", "uninstall")
}

// gone checks that systemd knows nothing of a unit.
func (c *container) gone(unit string) {
	c.t.Helper()
	if out := c.property(unit, "LoadState"); out != "not-found" {
		c.t.Errorf("%s is %s after uninstall", unit, out)
	}
	if out := c.sh("find /etc/systemd /run/systemd/system /run/systemd/units -name '*" + unit + ".service*'"); out != "" {
		c.t.Errorf("left behind: %s", out)
	}
	if out := c.run("systemctl", "list-units", "--all", "--plain", "--no-legend", unit+".service"); out != "" {
		c.t.Errorf("systemd still lists %s", out)
	}
}

func installAgain(c *container) {
	before := c.hosts()
	c.run("atalaya-agent", "install")
	c.run("atalaya-agent", "start")
	c.connected()
	if after := c.hosts(); len(after) != 1 || after[0].ID != before[0].ID {
		c.t.Errorf("hosts: %v, before %v", after, before)
	}
	// A service that crashes and waits for its restart ends, too.
	c.write("/etc/atalaya/agent.yml", "no_such_key: 1\n")
	c.kill("KILL", c.property("atalaya-agent", "MainPID"))
	c.wait(10*time.Second, "it waits for its restart", func() (string, bool) {
		s := c.property("atalaya-agent", "SubState")
		return s, s == "auto-restart"
	})
	c.refused("unknown key", "atalaya-agent", "status")
	c.run("atalaya-agent", "uninstall")
	c.gone("atalaya-agent")
	if p := c.processes("atalaya-agent"); p != "" {
		c.t.Errorf("process %s runs after uninstall", p)
	}
}

func collectorUninstalls(c *container) {
	old := c.property("atalaya", "MainPID")
	c.kill("KILL", old)
	c.wait(5*time.Second, "the collector is back", func() (string, bool) {
		pid := c.property("atalaya", "MainPID")
		return pid, pid != old && pid != "0" && c.property("atalaya", "ActiveState") == "active"
	})
	if h := c.hosts(); len(h) != 1 {
		c.t.Errorf("hosts after a kill: %v", h)
	}
	c.run("atalaya", "uninstall")
	c.gone("atalaya")
	if p := c.processes("atalaya"); p != "" {
		c.t.Errorf("process %s runs after uninstall", p)
	}
	c.sh("test -s /var/lib/atalaya/state.db")
}
