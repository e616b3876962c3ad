package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// figure is a line of the table: what was measured, and the bar where there is one.
type figure struct{ what, got, bar string }

// running is the collector's program over the state file of the figures.
type running struct {
	f       *fleet
	dir     string // of programs and configuration
	data    string
	agents  string // where agents reach it
	cmd     *exec.Cmd
	client  *v1.Client
	figures *[]figure
}

// asUsersDo starts the collector over the state and asks through its API.
func (f *fleet) asUsersDo(data string, figures *[]figure) {
	f.t.Helper()
	r := &running{f: f, dir: f.t.TempDir(), data: data, agents: freePort(f.t), figures: figures}
	build := exec.Command("go", "build", "-o", r.dir+"/", "./cmd/atalaya", "../agent/cmd/atalaya-sim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		f.t.Fatalf("build: %v\n%s", err, out)
	}
	config := fmt.Sprintf("data_dir: %s\nlisten: %s\nadvertise: %[2]s\napi:\n  listen: 127.0.0.1:0\nlog_level: error\n", data, r.agents)
	if err := os.WriteFile(filepath.Join(r.dir, "collector.yml"), []byte(config), 0o600); err != nil {
		f.t.Fatal(err)
	}
	r.client = v1.NewSocketClient(Config{DataDir: data}.SocketPath())
	defer r.client.Close()
	r.note("ready after a clean stop", r.serve().Round(time.Millisecond).String(), "")
	defer func() { r.kill() }()
	r.questions()
	r.readme()
	stop := r.load()
	r.kills()
	r.backup()
	r.note("ledger of 50 agents meanwhile", stop(), "0 differences")
}

// freePort is an address where agents can reach the collector of the figures.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // nothing was sent
	return c.LocalAddr().String()
}

func (r *running) note(what, got, bar string) {
	*r.figures = append(*r.figures, figure{what, got, bar})
	r.f.t.Logf("%s: %s", what, got)
}

// serve starts the program and returns how long it took to answer.
func (r *running) serve() time.Duration {
	r.f.t.Helper()
	begin := time.Now()
	r.cmd = exec.Command(filepath.Join(r.dir, "atalaya"), "serve", "--config", filepath.Join(r.dir, "collector.yml"))
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		r.f.t.Fatal(err)
	}
	for {
		_, err := r.client.Status(context.Background())
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > 5*time.Minute {
			r.f.t.Fatalf("the collector does not answer: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *running) kill() {
	r.f.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.f.t.Error(err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		r.f.t.Error(err)
	}
}

// ask notes median and 99th percentile of n questions.
func (r *running) ask(what, bar string, n int, q func(i int) error) {
	r.f.t.Helper()
	var took []time.Duration
	all := time.Now()
	for i := 0; i < n && (i < 5 || time.Since(all) < 30*time.Second); i++ {
		begin := time.Now()
		if err := q(i); err != nil {
			r.f.t.Fatalf("%s: %v", what, err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	round := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
	r.note(what, fmt.Sprintf("p50 %s, p99 %s, of %d", round(took[len(took)/2]), round(took[len(took)*99/100]), len(took)), bar)
}

func (r *running) sql(as time.Time, format string, args ...any) func(i int) error {
	return func(int) error {
		q := v1.SQLRequest{SQL: fmt.Sprintf(format, args...)}
		if !as.IsZero() {
			q.AsOf = v1.FormatMoment(as)
		}
		answer, err := r.client.SQL(context.Background(), q)
		if err == nil && len(answer.Rows) == 0 {
			err = errors.New("no rows")
		}
		return err
	}
}

func (r *running) questions() {
	find := func(name, below string) error {
		_, err := r.client.Packages(context.Background(), v1.PackageQuery{Name: name, Below: below, Page: v1.Page{Limit: 100}})
		return err
	}
	r.ask("package find openssl --below 3.0.11", "5 ms p99", 500, func(int) error { return find("openssl", "3.0.11") })
	r.ask("package find of 700 names", "5 ms p99", 1400, func(i int) error {
		row := r.f.row(i%basePackages, 5)
		return find(row.Name, row.Version)
	})
	const below = "select count(distinct host) from packages where name = 'openssl' and vercmp('deb', version, '3.0.11') < 0"
	r.ask("SQL, hosts with openssl below", "", 50, r.sql(time.Time{}, below))
	r.ask("SQL, hosts without openssl", "", 10, r.sql(time.Time{}, "select count(*) from hosts h where not exists (select 1 from packages p where p.host_id = h.host_id and p.name = 'openssl')"))
	r.ask("SQL, relations of one host", "", 20, r.sql(time.Time{}, "select ci, first_seen from relations where host = 'host00042'"))
	r.ask("SQL, hosts by a relation of theirs", "", 20, r.sql(time.Time{}, "select host from relations where ci = 'software/dpkg/chrony'"))
	if *fleetDays > 0 {
		day := func(n int) time.Time { return r.f.start.Add(time.Duration(n) * 24 * time.Hour) }
		r.ask("the same SQL as of 15 days ago", "1 s", 20, r.sql(day(*fleetDays-15), below))
		r.ask("the same SQL as of 30 days ago", "1 s", 20, r.sql(day(0).Add(time.Hour), below))
		r.ask("another package each time, as of 30 days ago", "1 s", 20, func(i int) error {
			return r.sql(day(0).Add(time.Hour), "select count(*) from packages where name = '%s'", r.f.names[i])(i)
		})
		r.ask("hosts whose openssl differs between two moments", "1 s", 10, r.sql(time.Time{},
			"select count(*) from packages('%s') a join packages b on a.host_id = b.host_id and a.name = b.name where a.name = 'openssl' and a.version <> b.version",
			day(1).Format(time.RFC3339)))
	}
}

// load runs simulated agents against the collector; stop compares their ledger with it.
func (r *running) load() (stop func() string) {
	r.f.t.Helper()
	tokens, err := r.atalaya("token", "create", "--count", "50")
	if err != nil {
		r.f.t.Fatal(err)
	}
	name := filepath.Join(r.dir, "tokens")
	if err := os.WriteFile(name, tokens, 0o600); err != nil {
		r.f.t.Fatal(err)
	}
	sim := exec.Command(filepath.Join(r.dir, "atalaya-sim"), "run", "--agents", "50", "--address", r.agents, "--tokens", name,
		"--state", filepath.Join(r.dir, "sim"), "--interval", "10s", "--change-every", "1s")
	if err := sim.Start(); err != nil {
		r.f.t.Fatal(err)
	}
	r.f.t.Cleanup(func() { _ = sim.Process.Kill() }) // mostly it has ended
	time.Sleep(10 * time.Second)
	return func() string {
		if err := errors.Join(sim.Process.Signal(os.Interrupt), sim.Wait()); err != nil {
			r.f.t.Error(err)
		}
		out, err := exec.Command(filepath.Join(r.dir, "atalaya-sim"), "check", "--state", filepath.Join(r.dir, "sim"), "--server", Config{DataDir: r.data}.SocketPath()).CombinedOutput()
		if err != nil {
			r.f.t.Errorf("%v\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return lines[len(lines)-1]
	}
}

func (r *running) atalaya(args ...string) ([]byte, error) {
	cmd := exec.Command(filepath.Join(r.dir, "atalaya"), args...)
	cmd.Env = append(os.Environ(), "ATALAYA_DATA="+r.data)
	return cmd.Output()
}

// kills ends the collector by SIGKILL while agents report.
func (r *running) kills() {
	var took []time.Duration
	for range 3 {
		r.kill()
		took = append(took, r.serve().Round(time.Millisecond))
		time.Sleep(3 * time.Second)
	}
	r.note("ready after kill -9, three times", fmt.Sprint(took), "5 s")
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid)); err == nil {
		for line := range strings.Lines(string(text)) {
			if rss, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				r.note("memory of the collector", strings.TrimSpace(rss), "")
			}
		}
	}
}

// backup takes one while agents report and questions are asked, restores it, and
// compares every loaded host's packages with what they are known to be.
func (r *running) backup() {
	file := filepath.Join(r.dir, "backup.db")
	w, err := os.Create(file)
	if err != nil {
		r.f.t.Fatal(err)
	}
	var wait sync.WaitGroup
	done, begin := make(chan struct{}), time.Now()
	wait.Go(func() {
		n, err := r.client.Backup(context.Background(), w)
		if err = errors.Join(err, w.Close()); err != nil {
			r.f.t.Error(err)
		}
		r.note("backup while agents report", fmt.Sprintf("%d MB in %v", n>>20, time.Since(begin).Round(time.Millisecond)), "")
		close(done)
	})
	var worst time.Duration
	for asking := true; asking; {
		begin := time.Now()
		if _, err := r.client.Packages(context.Background(), v1.PackageQuery{Name: "openssl", Below: "3.0.11", Page: v1.Page{Limit: 100}}); err != nil {
			r.f.t.Error(err)
		}
		worst = max(worst, time.Since(begin))
		select {
		case <-done:
			asking = false
		case <-time.After(5 * time.Millisecond):
		}
	}
	wait.Wait()
	r.note("slowest package find meanwhile", worst.Round(time.Microsecond).String(), "1 s")
	begin = time.Now()
	restored := filepath.Join(r.dir, "restored")
	if err := os.Mkdir(restored, 0o700); err != nil {
		r.f.t.Fatal(err)
	}
	if out, err := r.atalaya("restore", file, "--data", restored); err != nil {
		r.f.t.Fatalf("%v\n%s", err, out)
	}
	s, err := store.Open(store.Config{Path: filepath.Join(restored, store.FileName), NoSync: true})
	if err != nil {
		r.f.t.Fatal(err)
	}
	differ := 0
	for host, want := range r.f.digests {
		var got facts.Digest
		err := s.View(func(tx *store.Tx) error {
			return tx.Rows(r.f.id(host), facts.Packages, func(key string, data []byte) error {
				got = got.Plus(facts.Item{Key: key, Data: data})
				return nil
			})
		})
		if err != nil {
			r.f.t.Fatal(err)
		}
		if got != want {
			differ++
		}
	}
	if err := s.Close(); err != nil {
		r.f.t.Fatal(err)
	}
	r.note("hosts that differ in the restored backup", fmt.Sprintf("%d of %d, read in %v", differ, len(r.f.digests), time.Since(begin).Round(time.Second)), "0")
	if differ > 0 {
		r.f.t.Error("the backup is not what was stored")
	}
}

// printFigures prints the table.
func printFigures(t *testing.T, figures []figure) {
	t.Helper()
	fmt.Printf("\n%-48s  %-44s  %s\n", "WHAT", "MEASURED", "BAR")
	for _, f := range figures {
		fmt.Printf("%-48s  %-44s  %s\n", f.what, f.got, f.bar)
	}
}
