package cli_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"atalaya/collector/api"
	"atalaya/collector/api/apitest"
	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
	"atalaya/collector/cli"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"atalaya": atalaya})
}

// atalaya is the command line in the world of the sample fleet: its clock stands
// still, and the terminal is what the script says it is.
func atalaya() {
	env := cli.System()
	env.Now = func() time.Time { return apitest.Sample().Now }
	if columns, err := strconv.Atoi(os.Getenv("TEST_COLUMNS")); err == nil {
		env.Width = columns
	}
	env.Colour = os.Getenv("TEST_COLOUR") == "yes"
	os.Exit(cli.Run(context.Background(), env, newRoot(), os.Args[1:]))
}

func newRoot() *cobra.Command { return &cobra.Command{Use: "atalaya", Short: "test"} }

// serve starts an API over the fleet on listeners; stop ends it.
func serve(fleet *apitest.Fleet, listeners ...net.Listener) (stop func() error, err error) {
	a, err := api.New(api.Config{
		Inventory: fleet, CMDB: fleet, Alerts: fleet, Metrics: fleet, Queries: fleet, Operations: fleet, Assets: fleet, Finder: fleet, Tokens: apitest.RoleTokens{}, Version: "0.1.0",
		Now: func() time.Time { return fleet.Now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Serve(ctx, listeners...) }()
	return func() error { cancel(); return <-done }, nil
}

// TestScripts runs testdata/scripts against an API over the sample fleet, on the
// socket in $ATALAYA_DATA and on $ADDRESS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("..", "..", "testdata", "scripts"),
		UpdateScripts: *update,
		Setup:         setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"damage": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(fleetKey{}).(*apitest.Fleet).SetFound(func(found *v1.Scrub) {
					found.Count, found.Mended = 1, args[0] == "mended"
					found.Damage = []v1.Damage{{Table: "store.held", Page: 311, Detail: "checksum differs"}}
					if !found.Mended {
						found.Problem = "not mended: restore a backup"
						return
					}
					found.AskedCount, found.AskedAgain = 1, []v1.Doubt{{HostName: v1.HostName{HostID: "3e3e3e3e3e3e3e3e", Host: "web1"}, Section: "packages"}}
				})
			},
			"break": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(fleetKey{}).(*apitest.Fleet).Fail(errors.New(strings.Join(args, " ")))
			},
		},
	})
}

type fleetKey struct{}

func setup(env *testscript.Env) error {
	data := filepath.Join(env.WorkDir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	socket, err := auth.ListenSocket(filepath.Join(data, "atalaya.sock"))
	if err != nil {
		return err
	}
	tcp, err := auth.Listen("127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	fleet := apitest.Sample()
	stop, err := serve(fleet, socket, tcp)
	if err != nil {
		return err
	}
	env.Defer(func() {
		if err := stop(); err != nil {
			panic(err)
		}
	})
	env.Values[fleetKey{}] = fleet
	env.Setenv("ATALAYA_DATA", data)
	env.Setenv("ADDRESS", tcp.Addr().String())
	env.Setenv("TERM", "dumb")
	return nil
}

// readCommands are commands whose answer holds texts of hosts.
var readCommands = [][]string{
	{"host", "list"}, {"host", "show", "d0d0d0d0d0d0d0d0"}, {"host", "show", "d0d0d0d0d0d0d0d0", "--section", "packages"},
	{"host", "history", "d0d0d0d0d0d0d0d0"}, {"host", "diff", "d0d0d0d0d0d0d0d0"}, {"host", "changed"}, {"package", "find", "*"},
	{"patch", "status"}, {"patch", "status", "d0d0d0d0d0d0d0d0"}, {"metric", "query", "node_load1"},
	{"metric", "query", "node_load1", "--range", "1h"}, {"ci", "list"}, {"ci", "show", "CI"}, {"ci", "impact", "CI"},
	{"rule", "list"}, {"asset", "list"}, {"search", "lib"}, {"alert", "list"}, {"alert", "show", "a1"}, {"status"}, {"scrub"},
	{"host", "show", "nobody\x1b[2J\u202e"},
}

// TestHostileValuesDoNotReachTheTerminal runs every hostile text through every
// command, format and both streams.
func TestHostileValuesDoNotReachTheTerminal(t *testing.T) {
	for n, value := range apitest.HostileValues() {
		path := filepath.Join(t.TempDir(), "s")
		socket, err := auth.ListenSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		fleet := apitest.Hostile(value)
		stop, err := serve(fleet, socket)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"table", "json", "csv"} {
			for _, command := range readCommands {
				args := append([]string{"--socket", path, "--output", format}, command...)
				if args[len(args)-1] == "CI" {
					args[len(args)-1] = fleet.Items[0].ID
				}
				hostile(t, fmt.Sprintf("value %d, %s as %s", n, strings.Join(command, " "), format), format, args)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func hostile(t *testing.T, name, format string, args []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := cli.Env{Stdout: &stdout, Stderr: &stderr, Now: time.Now, Getenv: func(string) string { return "" }}
	cli.Run(context.Background(), env, newRoot(), args)
	for stream, out := range map[string][]byte{"stdout": stdout.Bytes(), "stderr": stderr.Bytes()} {
		if i := bytes.IndexFunc(out, v1.Unsafe); i >= 0 {
			t.Errorf("%s: %s has a raw %q", name, stream, out[i:min(i+4, len(out))])
		}
	}
	if lines := bytes.Count(stderr.Bytes(), []byte("\n")); lines > 1 {
		t.Errorf("%s: %d lines of talk: %.200q", name, lines, stderr.String())
	}
	if format != "csv" || stdout.Len() == 0 {
		return
	}
	records, err := csv.NewReader(&stdout).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, record := range records {
		for _, field := range record {
			if field == "" || !strings.ContainsRune("=+-@", rune(field[0])) {
				continue
			}
			if _, err := strconv.ParseFloat(field, 64); err != nil {
				t.Errorf("%s: a spreadsheet would run %.40q", name, field)
			}
		}
	}
}

func TestExitStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	socket, err := auth.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := serve(apitest.Sample(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	f := func(want int, args ...string) {
		t.Helper()
		var out, talk bytes.Buffer
		env := cli.Env{Stdout: &out, Stderr: &talk, Now: time.Now, Getenv: func(string) string { return "" }}
		got := cli.Run(context.Background(), env, newRoot(), append([]string{"--socket", path}, args...))
		if got != want || (want != 0) != strings.HasPrefix(talk.String(), "atalaya: ") {
			t.Errorf("%q: status %d, want %d: %s", args, got, want, talk.String())
		}
	}
	f(0, "host", "list")
	f(0, "host", "--help")
	f(0, "package", "find", "nothing")
	f(1, "host", "show", "nowhere")
	f(1, "backup", filepath.Join(path, "below-a-file"))
	f(2, "host")
	f(2, "host", "lost")
	f(2, "nonsense")
	f(2, "host", "list", "extra")
	f(2, "host", "list", "--verdict", "green")
	f(2, "host", "list", "--nonsense")
	f(2, "host", "diff", "web1", "--from", "yesterday")
	f(2, "host", "list", "--output", "xml")
	f(2, "metric", "query", "up", "--step", "5m")
	f(2, "package", "find", "openssl", "--below", "")
	f(2, "package", "find", "")
	f(2, "search", "")
}

func TestEveryCommandHasAnExample(t *testing.T) {
	root := newRoot()
	cli.Run(context.Background(), cli.Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: os.Getenv}, root, []string{"--help"})
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if !cmd.HasSubCommands() && cmd.Name() != "help" && cmd.Parent() != nil && cmd.Parent().Name() != "completion" &&
			!strings.Contains(cmd.Example, "atalaya "+strings.TrimPrefix(cmd.CommandPath(), "atalaya ")) {
			t.Errorf("%s has no example of itself", cmd.CommandPath())
		}
	}
	visit(root)
}
