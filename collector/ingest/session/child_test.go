package session

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/collector/ingest"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// runChild is the way into the processes that tests start and kill.
func runChild() {
	dir := os.Getenv("SESSION_TEST_DIR")
	var err error
	switch os.Getenv("SESSION_TEST_CHILD") {
	case "collector":
		err = runCollector(dir, os.Getenv("SESSION_TEST_ADDRESS"))
	case "agent":
		err = runAgent(dir, os.Getenv("SESSION_TEST_ADDRESS"))
	case "agents":
		err = runAgents(dir, os.Getenv("SESSION_TEST_ADDRESS"))
	default:
		return
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// copyState copies a host's key and certificates, as a cloned disk does.
func copyState(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{identity.HostKeyFile, identity.HostCertFile, identity.CAFile} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fileStore is a store that survives kills: a file of lines, synced before each
// answer. Its file is the ledger that the test reads.
type fileStore struct {
	*ledger
	file *os.File
}

func openFileStore(path string) (*fileStore, error) {
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	whole := data[:strings.LastIndexByte(string(data), '\n')+1] // a kill may cut the last line
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	if _, err := f.Seek(int64(len(whole)), 0); err != nil {
		return nil, err
	}
	s := &fileStore{file: f, ledger: newLedger()}
	s.taken, _, err = parseLedger(string(whole))
	return s, err
}

func parseLedger(text string) (taken map[batchName]uint32, twice int, err error) {
	taken = map[batchName]uint32{}
	for line := range strings.Lines(text) {
		var name batchName
		var host string
		var sum uint32
		if _, err := fmt.Sscan(line, &host, &name.epoch, &name.seq, &sum); err != nil {
			return nil, 0, fmt.Errorf("ledger line %q: %w", line, err)
		}
		if name.host, err = identity.ParseHostID(host); err != nil {
			return nil, 0, err
		}
		if _, there := taken[name]; there {
			twice++
		}
		taken[name] = sum
	}
	return taken, twice, nil
}

// Apply implements ingest.Sink.
func (s *fileStore) Apply(ctx context.Context, ds []ingest.Delivery) ([]ingest.Outcome, error) {
	out, err := s.ledger.Apply(ctx, ds)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	for i, d := range ds {
		if !out[i].Duplicate {
			fmt.Fprintln(&lines, d.Host, d.Batch.Epoch, d.Batch.Seq, d.Batch.Checksum)
		}
	}
	if _, err := s.file.WriteString(lines.String()); err != nil {
		return nil, err
	}
	return out, s.file.Sync()
}

// certVerifier believes what our CA has signed.
type certVerifier struct{ authority }

func (*certVerifier) Verify(cert *x509.Certificate) (identity.HostID, error) {
	return identity.HostIDFromCert(cert)
}

// save writes what runCollector needs.
func (a *authority) save(t testing.TB, dir string) {
	t.Helper()
	for _, err := range []error{
		identity.SaveCertificates(filepath.Join(dir, "ca.pem"), a.cert),
		identity.SaveCertificates(filepath.Join(dir, "leaf.pem"), a.leaf.Load().Leaf),
		identity.SaveKey(filepath.Join(dir, "leaf.key"), a.leaf.Load().PrivateKey.(*ecdsa.PrivateKey)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// enrol makes a host's credentials without a collector.
func (a *authority) enrol(t testing.TB, dir string) identity.HostID {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	host := identity.NewHostID()
	cert := a.sign(t, &x509.Certificate{URIs: []*url.URL{identity.HostURI(host)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key, 7*24*time.Hour)
	creds, err := identity.NewCredentials(key, cert.Raw, [][]byte{a.cert.Raw})
	if err == nil {
		err = creds.Save(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, _ := identity.KeyHash(&key.PublicKey)
	a.mu.Lock()
	a.hosts[hash] = host
	a.mu.Unlock()
	return host
}

func runCollector(dir, address string) error {
	cas, err := identity.LoadCertificates(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return err
	}
	leaf, err := identity.LoadCertificates(filepath.Join(dir, "leaf.pem"))
	if err != nil {
		return err
	}
	key, err := identity.LoadKey(filepath.Join(dir, "leaf.key"))
	if err != nil {
		return err
	}
	store, err := openFileStore(filepath.Join(dir, "ledger"))
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	server := tls.Certificate{Certificate: [][]byte{leaf[0].Raw, cas[0].Raw}, PrivateKey: key, Leaf: leaf[0]}
	a := &certVerifier{authority: authority{cert: cas[0]}}
	a.leaf.Store(&server)
	fmt.Println("ready")
	return ingest.New(ingest.Config{Conn: conn, TLS: a.tls(), Sink: store, Metrics: store.ledger, Enroller: a, Verifier: a,
		ResetKey: [32]byte{1}, TokenKey: [32]byte{2}}).Run(context.Background())
}

// runAgent appends as fast as the disk takes it and tells what is durable.
func runAgent(dir, address string) error {
	s, err := spool.Open(dir, spool.Config{})
	if err != nil {
		return err
	}
	go uplink.New(uplink.Config{Address: address, Dir: dir, Spool: s}).Run(context.Background())
	fmt.Println("ready")
	for at := time.Now().UnixMilli(); ; at++ {
		f := metric.Frame{At: at}
		for i := range 50 {
			id, _ := s.Dictionary().ID(&desc, fmt.Sprint(i))
			f.Samples = append(f.Samples, metric.Sample{Series: id, Value: float64(at % 1000 * int64(i))})
		}
		epoch, seq := s.Position()
		if err := s.AppendMetrics([]metric.Frame{f}); err != nil {
			return err
		}
		b := wire.Batch{Kind: wire.KindMetrics, At: at, Frames: []metric.Frame{f}}
		fmt.Println("has", epoch, seq, b.Sum())
		time.Sleep(2 * time.Millisecond)
	}
}

// child is a process that can be killed and started again.
type child struct {
	t    testing.TB
	env  []string
	cmd  *exec.Cmd
	line func(string)
	done chan struct{}
}

func (c *child) start() {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), c.env...)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ready := make(chan struct{})
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready" {
				close(ready)
			} else {
				c.line(lines.Text())
			}
		}
	}()
	select {
	case <-ready:
	case <-c.done:
		c.t.Fatalf("child %v ended: %v", c.env, c.cmd.Wait())
	}
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.done
	c.cmd.Wait()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

// TestKillNineOfEitherSideLosesNothing kills agent and collector at random points
// under load, and compares what the agent said was durable in its spool with the
// collector's ledger.
func TestKillNineOfEitherSideLosesNothing(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 10
	}
	a := newAuthority(t)
	collectorDir, agentDir, address := t.TempDir(), t.TempDir(), freeAddress(t)
	a.save(t, collectorDir)
	host := a.enrol(t, agentDir)

	var mu sync.Mutex
	has := map[batchName]uint32{}
	coll := &child{t: t, line: func(string) {}, env: []string{"SESSION_TEST_CHILD=collector", "SESSION_TEST_DIR=" + collectorDir, "SESSION_TEST_ADDRESS=" + address}}
	agnt := &child{t: t, env: []string{"SESSION_TEST_CHILD=agent", "SESSION_TEST_DIR=" + agentDir, "SESSION_TEST_ADDRESS=" + address}}
	agnt.line = func(line string) {
		name := batchName{host: host}
		var sum uint32
		if n, _ := fmt.Sscanf(line, "has %d %d %d", &name.epoch, &name.seq, &sum); n == 3 {
			mu.Lock()
			defer mu.Unlock()
			if _, twice := has[name]; twice {
				t.Errorf("batch %d was made twice", name.seq)
			}
			has[name] = sum
		}
	}
	coll.start()
	agnt.start()
	rng := rand.New(rand.NewPCG(1, 50))
	killed := [2]int{}
	for range kills {
		time.Sleep(time.Duration(30+rng.IntN(300)) * time.Millisecond)
		side := rng.IntN(2)
		killed[side]++
		victim := []*child{coll, agnt}[side]
		victim.kill()
		victim.start()
	}
	agnt.kill()
	drainSpool(t, agentDir, address)
	coll.kill()

	data, err := os.ReadFile(filepath.Join(collectorDir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	taken, twice, err := parseLedger(string(data))
	if err != nil || twice != 0 {
		t.Fatalf("ledger: %v, %d batches twice", err, twice)
	}
	for name, sum := range has {
		if got, ok := taken[name]; !ok || got != sum {
			t.Errorf("batch %d: in the ledger %v, with the right content %v", name.seq, ok, got == sum)
		}
	}
	// A batch that the agent was killed before telling of is in the ledger as well.
	if extra := len(taken) - len(has); extra < 0 || extra > killed[1]+1 {
		t.Errorf("%d batches in the ledger, %d told of", len(taken), len(has))
	}
	t.Logf("killed the collector %d and the agent %d times: %d batches, each there once", killed[0], killed[1], len(taken))
}

// drainSpool delivers what a killed agent has left.
func drainSpool(t *testing.T, dir, address string) {
	t.Helper()
	s, err := spool.Open(dir, spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- uplink.New(uplink.Config{Address: address, Dir: dir, Spool: s}).Run(ctx) }()
	waitFor(t, time.Minute, "the spool's end", func() bool { return s.Stats().Batches == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestKilledCollectorIsNoticedOnceItIsBack: a collector that was killed and started
// again answers the agent's next packet with a stateless reset.
func TestKilledCollectorIsNoticedOnceItIsBack(t *testing.T) {
	a := newAuthority(t)
	collectorDir, agentDir, address := t.TempDir(), t.TempDir(), freeAddress(t)
	a.save(t, collectorDir)
	a.enrol(t, agentDir)
	coll := &child{t: t, line: func(string) {}, env: []string{"SESSION_TEST_CHILD=collector", "SESSION_TEST_DIR=" + collectorDir, "SESSION_TEST_ADDRESS=" + address}}
	coll.start()
	s, err := spool.Open(agentDir, spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	up := uplink.New(uplink.Config{Address: address, Dir: agentDir, Spool: s})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- up.Run(ctx) }()
	waitFor(t, 10*time.Second, "session", func() bool { return up.Status().State == uplink.Connected })
	coll.kill()
	coll.start()
	if err := s.AppendMetrics([]metric.Frame{{At: time.Now().UnixMilli(), Samples: sampleOf(s)}}); err != nil {
		t.Fatal(err)
	}
	d := waitFor(t, 5*time.Second, "the new session", func() bool { return up.Status().Sessions == 2 })
	t.Logf("new session %v after the first packet to the new process", d.Round(time.Millisecond))
	waitFor(t, 5*time.Second, "the batch's arrival", func() bool { return s.Stats().Batches == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	coll.kill()
}

func sampleOf(s *spool.Spool) []metric.Sample {
	id, _ := s.Dictionary().ID(&desc, "0")
	return []metric.Sample{{Series: id, Value: 1}}
}
