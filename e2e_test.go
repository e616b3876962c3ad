package atalaya

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"atalaya/shared/identity"
)

// These tests run the two programs as their users do: built, started, asked, killed.

// ledgerEnv makes the test binary play an agent with a ledger, see ledger_agent below.
const ledgerEnv = "ATALAYA_TEST_LEDGER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ledgerEnv); dir != "" {
		if err := runLedgerAgent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// programs are built once for all tests.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func bin(t *testing.T, name string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the whole path is tested on Linux")
	}
	programs.once.Do(func() {
		programs.dir, programs.err = os.MkdirTemp("", "atalaya-e2e")
		if programs.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", programs.dir+"/", "./agent/cmd/atalaya-agent", "./agent/cmd/atalaya-sim", "./collector/cmd/atalaya")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// site is a collector on this machine, with a folder for all state.
type site struct {
	t      *testing.T
	dir    string
	data   string
	agents string // UDP address
	api    string // TCP address
	proc   *process
	tokens int // made so far
}

func newSite(t *testing.T) *site {
	t.Helper()
	bin(t, "atalaya")
	dir, err := os.MkdirTemp("", "atl") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, data: filepath.Join(dir, "data"), agents: freeAddress(t, "udp"), api: freeAddress(t, "tcp")}
	s.write("collector.yml", fmt.Sprintf("data_dir: %s\nlisten: %s\nadvertise: %s\napi:\n  listen: %s\nheartbeat: 2s\nsilent_after: 5s\n", s.data, s.agents, s.agents, s.api))
	s.write("agent.yml", "interval: 1s\n")
	return s
}

func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// freeAddress returns a loopback address that was free a moment ago.
func freeAddress(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve starts the collector and waits until it answers.
func (s *site) serve() {
	s.t.Helper()
	s.proc = start(s.t, filepath.Join(s.dir, "collector.log"), bin(s.t, "atalaya"), "serve", "--config", filepath.Join(s.dir, "collector.yml"))
	waitFor(s.t, 30*time.Second, "the collector to answer", func() error {
		if err := s.proc.exited(); err != nil {
			s.t.Fatalf("the collector ended: %v\n%s", err, s.proc.log())
		}
		_, err := s.ask("status")
		return err
	})
}

// ask runs the command line against the collector.
func (s *site) ask(args ...string) (string, error) {
	cmd := exec.Command(bin(s.t, "atalaya"), args...)
	cmd.Env = append(os.Environ(), "ATALAYA_DATA="+s.data)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("atalaya %s: %w: %s", strings.Join(args, " "), err, msg.String())
	}
	return out.String(), nil
}

func (s *site) mustAsk(args ...string) string {
	s.t.Helper()
	out, err := s.ask(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// answer decodes the JSON that a command prints.
func (s *site) answer(into any, args ...string) {
	s.t.Helper()
	out := s.mustAsk(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("atalaya %v: %v in %s", args, err, out)
	}
}

// token writes a fresh enrolment token to a file.
func (s *site) token() string {
	s.t.Helper()
	s.tokens++
	return s.write(fmt.Sprintf("token%d", s.tokens), s.mustAsk("token", "create"))
}

// agent runs the agent's program to its end.
func (s *site) agent(args ...string) (out string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, bin(s.t, "atalaya-agent"), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return string(b), exitCode(err)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// enrolled returns the state folder of a host that has just enrolled.
func (s *site) enrolled(name string) string {
	s.t.Helper()
	state := filepath.Join(s.dir, name)
	if out, code := s.agent("enroll", "--token-file", s.token(), "--state", state); code != 0 {
		s.t.Fatalf("enroll: exit %d: %s", code, out)
	}
	return state
}

// runAgent starts the agent on a state folder.
func (s *site) runAgent(state string) *process {
	s.t.Helper()
	return start(s.t, state+".log", bin(s.t, "atalaya-agent"), "run", "--state", state, "--config", filepath.Join(s.dir, "agent.yml"))
}

// process is a program in the background; the test's end kills it.
type process struct {
	cmd  *exec.Cmd
	path string // of its log
	done chan struct{}
	err  error // once done is closed
}

func start(t *testing.T, log, program string, args ...string) *process {
	t.Helper()
	return startEnv(t, nil, log, program, args...)
}

func startEnv(t *testing.T, env []string, log, program string, args ...string) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &process{cmd: exec.Command(program, args...), path: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill() // fails when it has ended
	<-p.done
}

// stop asks the process to end and returns how it did.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(30 * time.Second):
		p.kill()
		return errors.New("did not end within 30 s of SIGTERM")
	}
}

// exited returns an error once the process has ended.
func (p *process) exited() error {
	select {
	case <-p.done:
		return fmt.Errorf("exit status %d", exitCode(p.err))
	default:
		return nil
	}
}

func (p *process) log() string {
	b, err := os.ReadFile(p.path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// waitFor tries until there is no error or the time is over.
func waitFor(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("waited %s for %s: %v", limit, what, err)
}

// hostDoc is what the tests read of `host show`.
type hostDoc struct {
	Host struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		State    string `json:"state"`
		Packages *int   `json:"packages"`
		Patch    struct {
			Verdict string `json:"verdict"`
		} `json:"patch"`
	} `json:"host"`
	Sections map[string]struct {
		Status string            `json:"status"`
		Reason string            `json:"reason"`
		Rows   []json.RawMessage `json:"rows"`
	} `json:"sections"`
}

// reported waits until a host has reported everything, and returns it.
func (s *site) reported(state string) hostDoc {
	s.t.Helper()
	cred, err := identity.LoadCredentials(state)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := cred.HostID()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mustAsk("overview", id.String(), "--wait", "60s")
	var doc hostDoc
	s.answer(&doc, "host", "show", id.String())
	return doc
}

// TestMainJob is the product's main path: enrol, report, ask.
func TestMainJob(t *testing.T) {
	s := newSite(t)
	s.serve()
	state := s.enrolled("agent")
	agent := s.runAgent(state)
	doc := s.reported(state)
	host := doc.Host.Name

	t.Run("packages", func(t *testing.T) {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\n").Output()
		if err != nil {
			t.Skipf("no dpkg here: %v", err)
		}
		want := strings.Count("\n"+string(out), "\nii")
		var got struct{ Rows [][]float64 }
		s.answer(&got, "query", "select count(*) from packages where source = 'dpkg'")
		if have := got.Rows[0][0]; have != float64(want) || doc.Host.Packages == nil || *doc.Host.Packages < want {
			t.Errorf("collector has %v packages of dpkg, dpkg-query %d", have, want)
		}
	})
	t.Run("addresses", func(t *testing.T) {
		out, err := exec.Command("ip", "-j", "addr").Output()
		if err != nil {
			t.Skipf("no ip here: %v", err)
		}
		var links []struct {
			Addrs []struct {
				Local string `json:"local"`
			} `json:"addr_info"`
		}
		if err := json.Unmarshal(out, &links); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, l := range links {
			n += len(l.Addrs)
		}
		if len(doc.Sections["interfaces"].Rows) != len(links) || len(doc.Sections["addresses"].Rows) != n {
			t.Errorf("%d interfaces and %d addresses, ip has %d and %d",
				len(doc.Sections["interfaces"].Rows), len(doc.Sections["addresses"].Rows), len(links), n)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		var v struct {
			Data struct {
				Result []struct {
					Metric map[string]string `json:"metric"`
				} `json:"result"`
			} `json:"data"`
		}
		s.answer(&v, "metric", "query", "node_load1")
		if len(v.Data.Result) != 1 || v.Data.Result[0].Metric["host"] != host || v.Data.Result[0].Metric["host_id"] != doc.Host.ID {
			t.Errorf("node_load1: %+v", v)
		}
	})
	t.Run("cmdb", func(t *testing.T) {
		for _, args := range [][]string{{"ci", "show", "host:" + host}, {"ci", "impact", "host:" + host}, {"ci", "list"}, {"alert", "list"}, {"rule", "list"}, {"patch", "status"}, {"host", "list"}, {"package", "find", "*"}} {
			s.mustAsk(args...)
			var v map[string]any
			s.answer(&v, args...)
		}
	})
	t.Run("openapi", func(t *testing.T) {
		out := s.curl(t, "/openapi.json")
		if !strings.Contains(out, `"openapi":"3.1`) {
			t.Errorf("no OpenAPI document: %.200s", out)
		}
	})
	t.Run("second-agent", func(t *testing.T) {
		out, code := s.agent("run", "--state", state)
		wantLine(t, out, code, 1, fmt.Sprint(agent.cmd.Process.Pid))
	})
	t.Run("status", func(t *testing.T) {
		out, code := s.agent("status", "--state", state)
		if code != 0 || !strings.Contains(out, "connected") {
			t.Errorf("exit %d: %s", code, out)
		}
		if out, code := s.agent("cost", "--state", state); code != 0 || !strings.Contains(out, "packages") {
			t.Errorf("cost: exit %d: %s", code, out)
		}
	})
	if err := agent.stop(); err != nil {
		t.Errorf("agent at SIGTERM: %v\n%s", err, agent.log())
	}
	if err := s.proc.stop(); err != nil {
		t.Errorf("collector at SIGTERM: %v\n%s", err, s.proc.log())
	}
}

// curl asks the API's TCP address without a token.
func (s *site) curl(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + s.api + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantLine checks a refusal: its status, one line, and what the line must hold.
func wantLine(t *testing.T, out string, code, wantCode int, words ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit status %d, want %d: %s", code, wantCode, out)
	}
	if n := strings.Count(strings.TrimSpace(out), "\n"); n > 0 && wantCode != 2 {
		t.Errorf("%d lines, want one: %s", n+1, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("%q is not in: %s", w, out)
		}
	}
}

func TestBadInputGetsOneLineWithTheNextStep(t *testing.T) {
	s := newSite(t)
	s.serve()
	used := s.token()
	text, err := os.ReadFile(used)
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(s.dir, "a")
	if out, code := s.agent("enroll", "--token-file", used, "--state", state); code != 0 {
		t.Fatalf("enroll: exit %d: %s", code, out)
	}
	other := newSite(t)
	other.serve()

	cases := []struct {
		name  string
		args  []string
		code  int
		words []string
	}{
		{"used-token", []string{"enroll", "--token-file", used, "--state", s.dir + "/b"}, 1, []string{"used", "token create"}},
		{"cut-token", []string{"enroll", "--token-file", s.write("cut", string(text[:len(text)/2])), "--state", s.dir + "/c"}, 1, []string{"token"}},
		{"no-token-file", []string{"enroll", "--token-file", s.dir + "/none", "--state", s.dir + "/c"}, 1, []string{"none"}},
		{"wrong-ca", []string{"enroll", "--token-file", s.token(), "--collector", other.agents, "--state", s.dir + "/d"}, 1, []string{"CA"}},
		{"unreachable", []string{"enroll", "--token-file", s.token(), "--collector", freeAddress(t, "udp"), "--state", s.dir + "/e"}, 1, []string{"UDP"}},
		{"enrolled-already", []string{"enroll", "--token-file", s.token(), "--state", state}, 1, []string{"enrolled already"}},
		{"not-enrolled", []string{"run", "--state", s.dir + "/f"}, 1, []string{"not enrolled", "token create"}},
		{"unknown-key", []string{"run", "--config", s.write("bad.yml", "interval: 10s\nintervl: 5s\n"), "--state", state}, 1, []string{"bad.yml", "line 2", "intervl"}},
		{"unknown-flag", []string{"run", "--stat", state}, 2, []string{"--stat"}},
		{"wrong-root", []string{"inventory", "--root", s.dir + "/none"}, 1, []string{"--root", "none"}},
		{"unknown-section", []string{"inventory", "--section", "pakages"}, 2, []string{"pakages", "packages"}},
		{"not-running", []string{"status", "--state", state}, 1, []string{"no agent is running"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, code := s.agent(c.args...)
			wantLine(t, out, code, c.code, c.words...)
		})
	}
	t.Run("second-collector", func(t *testing.T) {
		cmd := exec.Command(bin(t, "atalaya"), "serve", "--config", filepath.Join(s.dir, "collector.yml"))
		began := time.Now()
		out, err := cmd.CombinedOutput()
		wantLine(t, string(out), exitCode(err), 1, fmt.Sprint(s.proc.cmd.Process.Pid))
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("refused after %s", d)
		}
	})
	t.Run("unwritable-state", func(t *testing.T) {
		if os.Getuid() == 0 {
			// Root may write everywhere but below a file.
			out, code := s.agent("enroll", "--token-file", s.token(), "--state", used+"/state")
			wantLine(t, out, code, 1, "state folder", "--state")
			return
		}
		out, code := s.agent("enroll", "--token-file", s.token(), "--state", "/proc/state")
		wantLine(t, out, code, 1, "state folder", "--state")
	})
	t.Run("revoked", func(t *testing.T) {
		agent := s.runAgent(state)
		doc := s.reported(state)
		s.mustAsk("agent", "revoke", doc.Host.ID)
		waitFor(t, 10*time.Second, "the agent to say that it is revoked", func() error {
			if !strings.Contains(agent.log(), "revoked") {
				return errors.New(agent.log())
			}
			return nil
		})
		out, code := s.agent("enroll", "--replace", "--token-file", s.token(), "--state", state)
		wantLine(t, out, code, 1, "stop it first")
		if err := agent.stop(); err != nil {
			t.Fatal(err)
		}
		out, code = s.agent("enroll", "--replace", "--token-file", s.token(), "--state", state)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		s.runAgent(state)
		// A new key: as the same host where the machine is known again by its hardware.
		if again := s.reported(state); again.Host.State == "revoked" {
			t.Errorf("the host enrolled anew and is %+v", again.Host)
		}
	})
}
