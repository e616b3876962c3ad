package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/apitest"
	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
	"atalaya/collector/cli"
)

const web1 = "3e3e3e3e3e3e3e3e"

// reported is the sample fleet after web1 reported everything since the collector
// started; sampled is when its newest metrics were read.
func reported(sampled func(started time.Time) time.Time) *apitest.Fleet {
	fleet := apitest.Sample()
	for _, name := range []string{"patch_state", "listening_sockets"} {
		fleet.Facts[web1][name] = fleet.Facts[web1]["os"]
	}
	fleet.Evaluate = func(expr string) (float64, bool) {
		if strings.Contains(expr, "timestamp(") {
			return float64(sampled(fleet.State.StartedAt).UnixMilli()) / 1000, true
		}
		return 0, false
	}
	return fleet
}

// run answers a command line over a fleet.
func run(t *testing.T, fleet *apitest.Fleet, args ...string) (status int, out, talk string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	socket, err := auth.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := serve(fleet, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	var stdout, stderr bytes.Buffer
	env := cli.Env{Stdout: &stdout, Stderr: &stderr, Now: func() time.Time { return fleet.Now }, Getenv: func(string) string { return "" }}
	status = cli.Run(context.Background(), env, newRoot(), append([]string{"--socket", path}, args...))
	return status, stdout.String(), stderr.String()
}

// TestMetricsThatAreStillBeingReadTakeNothingElseAway: the page of a host is more than them.
func TestMetricsThatAreStillBeingReadTakeNothingElseAway(t *testing.T) {
	fleet := apitest.Sample()
	fleet.NotYet, fleet.State.Series = fmt.Errorf("%w: metrics are still being read", api.ErrBusy), nil
	for _, f := range []struct {
		want   int
		has    []string
		hasNot string
		args   []string
	}{
		{0, []string{"Debian GNU/Linux 12", "metrics are still being read", "1294 in the CMDB"}, "load", []string{"overview", "web1"}},
		{0, []string{`"metrics": {}`, `"no_metrics": "`}, "load1", []string{"overview", "web1", "--output", "json"}},
		{1, []string{"metrics are still being read"}, "no series match", []string{"metric", "query", "node_load1"}},
		{0, []string{"series        -"}, "", []string{"status"}},
	} {
		status, out, talk := run(t, fleet, f.args...)
		for _, want := range f.has {
			if !strings.Contains(out+talk, want) {
				t.Errorf("%q: no %q in\n%s%s", f.args, want, out, talk)
			}
		}
		if status != f.want || f.hasNot != "" && strings.Contains(out+talk, f.hasNot) {
			t.Errorf("%q: status %d, want %d and no %q in\n%s%s", f.args, status, f.want, f.hasNot, out, talk)
		}
	}
}

func TestOverviewWaitsForDataOfThisRun(t *testing.T) {
	after := func(started time.Time) time.Time { return started.Add(time.Second) }
	before := func(started time.Time) time.Time { return started.Add(-time.Second) }
	f := func(name string, fleet *apitest.Fleet, missing string) {
		t.Helper()
		status, _, talk := run(t, fleet, "overview", "web1", "--wait", "1ms")
		if missing == "" {
			if status != 0 {
				t.Errorf("%s: status %d: %s", name, status, talk)
			}
			return
		}
		if want := "of web1: missing " + missing + "\n"; status != 1 || !strings.HasSuffix(talk, want) {
			t.Errorf("%s: status %d, %q, want 1 and %q", name, status, talk, want)
		}
	}
	f("all reported", reported(after), "")
	f("metrics of an earlier run", reported(before), "metrics")

	silent := reported(after)
	silent.HostList[2].State = v1.HostSilent
	f("silent", silent, "its connection (it is silent)")

	old := reported(after)
	users := old.Facts[web1]["users"]
	users.ObservedAt = old.State.StartedAt.Add(-time.Second)
	old.Facts[web1]["users"] = users
	delete(old.Facts[web1], "packages")
	f("sections of an earlier run", old, "packages, users")

	none := reported(after)
	none.Evaluate = func(string) (float64, bool) { return 0, false }
	f("no metrics", none, "metrics")

	// Without --wait the data of an earlier run is shown.
	if status, _, talk := run(t, reported(before), "overview", "web1"); status != 0 {
		t.Errorf("without --wait: status %d: %s", status, talk)
	}
}

func TestTheOnlyHostNeedsNoName(t *testing.T) {
	for _, command := range [][]string{{"host", "show"}, {"host", "show", "--section", "packages"}, {"overview"}} {
		fleet := reported(func(started time.Time) time.Time { return started })
		if status, out, talk := run(t, fleet, command...); status != 2 || out != "" || !strings.Contains(talk, "name one of `atalaya host list`") {
			t.Errorf("%q of several hosts: status %d: %s%s", command, status, out, talk)
		}
		fleet.HostList = fleet.HostList[2:]
		_, want, _ := run(t, fleet, append(command, "web1")...)
		if status, out, talk := run(t, fleet, command...); status != 0 || out == "" || out != want {
			t.Errorf("%q: status %d: %q%s, want %q", command, status, out, talk, want)
		}
		fleet.HostList = nil
		if status, _, talk := run(t, fleet, command...); status != 1 || !strings.Contains(talk, "no hosts yet") {
			t.Errorf("%q without hosts: status %d: %s", command, status, talk)
		}
	}
}

func TestErrorsOfALocalFileAreNotTheCollectors(t *testing.T) {
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(dir, "nowhere", "x")}
	if os.Geteuid() > 0 { // root may write everywhere, and Windows knows no such mode
		paths = append(paths, filepath.Join(locked, "x"))
	}
	for _, path := range paths {
		status, _, talk := run(t, apitest.Sample(), "backup", path)
		if status != 1 || strings.Contains(talk, "cannot reach") || !strings.HasPrefix(talk, "atalaya: backup "+strconv.Quote(path)) {
			t.Errorf("backup to %s: status %d: %s", path, status, talk)
		}
	}
}

func TestOverviewCountsAsDfAndTheCMDBDo(t *testing.T) {
	fleet := reported(func(started time.Time) time.Time { return started })
	fleet.Evaluate = func(expr string) (float64, bool) {
		switch {
		case strings.HasPrefix(expr, "node_filesystem_avail_bytes{"):
			return 60 << 30, true
		case strings.Contains(expr, "- node_filesystem_free_bytes{"):
			return 20 << 30, true
		case strings.HasPrefix(expr, "node_filesystem_size_bytes{"):
			return 100 << 30, true
		}
		return 0, false
	}
	other := fleet.Items[3]
	other.ID, other.Host = "service/d0d0d0d0d0d0d0d0/nginx", "db1"
	fleet.Items = append(fleet.Items, other)
	_, out, talk := run(t, fleet, "overview", "web1")
	for _, want := range []string{"20.0 GiB of 80.0 GiB used (25 %), 60.0 GiB available", "1294 in the CMDB; 3 of this host, 2 depend on it"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s%s", want, out, talk)
		}
	}
}
