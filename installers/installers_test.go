package installers

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUnitsCarryTheCommand(t *testing.T) {
	for name, unit := range map[string]string{
		"agent":     AgentUnit("/opt/a/atalaya-agent run --state /x"),
		"collector": CollectorUnit("/opt/a/atalaya-agent run --state /x"),
	} {
		if n := strings.Count(unit, "ExecStart=/opt/a/atalaya-agent run --state /x\n"); n != 1 {
			t.Errorf("%s: command stands %d times in the unit, want 1:\n%s", name, n, unit)
		}
	}
}

func TestAgentUnitHasOnlyTheTwoCapabilities(t *testing.T) {
	for _, line := range strings.Split(AgentUnit("x"), "\n") {
		k, v, _ := strings.Cut(line, "=")
		if (k == "AmbientCapabilities" || k == "CapabilityBoundingSet") && v != "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE" {
			t.Errorf("%s=%s", k, v)
		}
		if k == "User" && v == "root" {
			t.Error("the agent's unit runs as root")
		}
	}
}

func TestQuoteFollowsSystemd(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/bin/x":    "/usr/bin/x",
		"/opt/my app/x": `"/opt/my app/x"`,
		`a"b\c`:         `"a\"b\\c"`,
		"50%$HOME":      "50%%$$HOME",
		"":              `""`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestNotifyReachesTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram sockets here: %v", err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify(Ready); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := l.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

func TestNotifyWithoutServiceManagerIsQuiet(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := Notify(Ready); err == nil {
		t.Error("a socket that nobody listens on gave no error")
	}
}

func TestSlowReadingsGetMorePatience(t *testing.T) {
	for in, want := range map[string]string{"": Ready, "x": Ready, "-5": Ready, "180000000": Ready, "120000000": Ready + "\nWATCHDOG_USEC=180000000"} {
		t.Setenv("WATCHDOG_USEC", in)
		if got := ReadyEvery(time.Minute); got != want {
			t.Errorf("WATCHDOG_USEC=%q: %q, want %q", in, got, want)
		}
	}
}
