package spool

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// writeUntilKilled appends, acknowledges and tells on standard output what is
// durable. It is the child of TestKillNineLosesNothing.
func writeUntilKilled(dir string) {
	s, err := Open(dir, Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for i := 0; ; i++ {
		epoch, next := s.Position()
		if rng.IntN(4) == 0 {
			err = s.AppendInventory([]facts.Reading{users(facts.StatusOK, int64(next), fmt.Sprint("u", next), "root")})
		} else {
			err = s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 1+rng.IntN(200))})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		b, err := s.Next(epoch, next-1)
		if err != nil || b == nil {
			fmt.Fprintln(os.Stderr, "appended batch is not there:", err)
			os.Exit(1)
		}
		fmt.Println("has", b.Seq, b.Checksum)
		if rng.IntN(3) == 0 {
			seq := 1 + uint64(rng.Int64N(int64(next)))
			fmt.Println("ack", seq)
			if err := s.Ack(epoch, []uint64{seq}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
}

func TestKillNineLosesNothing(t *testing.T) {
	dir := t.TempDir()
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	has, acked := map[uint64]uint32{}, map[uint64]bool{}
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range rounds {
		killedChild(t, dir, time.Duration(20+rng.IntN(60))*time.Millisecond, func(line string) {
			var seq uint64
			var sum uint32
			if n, _ := fmt.Sscanf(line, "has %d %d", &seq, &sum); n == 2 {
				if _, twice := has[seq]; twice {
					t.Fatalf("round %d: number %d given twice", round, seq)
				}
				has[seq] = sum
			} else if n, _ := fmt.Sscanf(line, "ack %d", &seq); n == 1 {
				acked[seq] = true
			}
		})
		s, err := Open(dir, Config{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		there := map[uint64]bool{}
		for _, b := range drain(t, s) {
			there[b.Seq] = true
			// A batch that was never told of is one whose append was durable when the kill came.
			if sum, told := has[b.Seq]; told && sum != b.Checksum {
				t.Errorf("round %d: batch %d has another content", round, b.Seq)
			}
			has[b.Seq] = b.Checksum
		}
		for seq := range has {
			if !there[seq] && !acked[seq] {
				t.Errorf("round %d: batch %d is lost", round, seq)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(has) < rounds || len(acked) == 0 {
		t.Errorf("only %d appends and %d acknowledgements in %d rounds", len(has), len(acked), rounds)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*")); len(found) > 0 {
		t.Errorf("a kill damaged the file: %v", found)
	}
	t.Logf("%d kills, %d batches, %d acknowledged", rounds, len(has), len(acked))
}

func killedChild(t *testing.T, dir string, after time.Duration, line func(string)) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_WRITER="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if timer == nil { // it works: the time runs from here
			timer = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		line(lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

func holdUntilKilled(dir string) {
	if _, err := Open(dir, Config{}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	time.Sleep(time.Hour)
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_HOLDER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("child says %q", line)
	}
	_, err = Open(dir, Config{})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != cmd.Process.Pid {
		t.Errorf("Open while process %d holds it: %v", cmd.Process.Pid, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	open(t, dir, Config{})
}

// filled writes a spool with everything in it and returns the file's bytes and the
// checksums of its batches.
func filled(t testing.TB, dir string) (data []byte, sums map[uint64]uint32) {
	t.Helper()
	s, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	for i := range int64(60) {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+i, 40)}); err != nil {
			t.Fatal(err)
		}
		names := make([]string, 30)
		for j := range names {
			names[j] = fmt.Sprintf("user%d-%d", j, int(i)/(j+1))
		}
		if i%6 == 0 {
			if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, now+i, names...)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sums = map[uint64]uint32{}
	for _, b := range drain(t, s) {
		sums[b.Seq] = b.Checksum
	}
	path := s.Path()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return data, sums
}

// openDamaged opens a spool with the given file and checks that what it gives out is
// right, and that what is missing is on record.
func openDamaged(t *testing.T, data []byte, sums map[uint64]uint32) (intact, lost int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "spool.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Config{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer s.Close()
	for _, b := range drain(t, s) {
		if s.Series() == nil && b.Kind == wire.KindMetrics {
			t.Errorf("batch %d has no dictionary", b.Seq)
		}
		if len(b.Losses) == 0 { // not one of those the damage has renumbered
			intact++
		}
		if sums[b.Seq] != b.Checksum && !contains(sums, b.Checksum) {
			t.Errorf("batch %d has a content that nobody wrote", b.Seq)
		}
	}
	if err := s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 5)}); err != nil {
		t.Errorf("append after damage: %v", err)
	}
	if intact < len(sums) {
		all := drain(t, s)
		if len(all[len(all)-1].Losses) == 0 {
			t.Errorf("%d of %d batches are gone without a word", len(sums)-intact, len(sums))
		}
		lost++
	}
	return intact, lost
}

func contains(sums map[uint64]uint32, sum uint32) bool {
	for _, s := range sums {
		if s == sum {
			return true
		}
	}
	return false
}

func TestDamagedFileNeverStopsTheAgent(t *testing.T) {
	data, sums := filled(t, t.TempDir())
	rng := rand.New(rand.NewPCG(3, 9))
	flips, cuts := 400, 60
	if testing.Short() {
		flips, cuts = 60, 20
	}
	lost := 0
	for range flips {
		bad := append([]byte(nil), data...)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		_, l := openDamaged(t, bad, sums)
		lost += l
	}
	for range cuts {
		openDamaged(t, data[:rng.IntN(len(data))], sums)
	}
	for page := range len(data) / 4096 {
		zero := append([]byte(nil), data...)
		clear(zero[page*4096 : (page+1)*4096])
		openDamaged(t, zero, sums)
		swap := append([]byte(nil), data...)
		other := rng.IntN(len(data) / 4096)
		copy(swap[page*4096:(page+1)*4096], data[other*4096:(other+1)*4096])
		openDamaged(t, swap, sums)
	}
	if lost == 0 {
		t.Error("no flip had an effect: the test tests nothing")
	}
	t.Logf("%d flips (%d with an effect), %d cuts, %d zeroed and swapped pages", flips, lost, cuts, len(data)/4096)
}

func TestFileThatIsNoSpoolIsSetAside(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "one_byte": "x", "text": strings.Repeat("not a spool\n", 5000), "zeros": string(make([]byte, 65536))} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "spool.db"), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			open(t, dir, Config{})
			if found, _ := filepath.Glob(filepath.Join(dir, "spool.db.damaged-*")); len(found) != 1 {
				t.Errorf("set aside: %v", found)
			}
		})
	}
}

func TestCutUnderARunningAgent(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	now := time.Now().UnixMilli()
	for i := range int64(50) {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+i, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(s.Path(), 4096*3); err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		// The first may fail: that is when the damage is found.
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+100+i, 100)}); err != nil && i > 0 {
			t.Errorf("append %d after the cut: %v", i, err)
		}
	}
	var frames int
	var lost uint64
	for _, b := range drain(t, s) {
		frames += len(b.Frames)
		for _, l := range b.Losses {
			lost += l.Batches
		}
	}
	if frames != 3 || lost != 50 {
		t.Errorf("%d frames kept, %d batches reported lost; want 3 and 50", frames, lost)
	}
}

func FuzzVerifyTree(f *testing.F) {
	data, _ := filled(f, f.TempDir())
	f.Add(data)
	f.Add(data[:8192])
	f.Fuzz(func(t *testing.T, data []byte) {
		verifyTree(strings.NewReader(string(data)), uint64(len(data)))
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(encodeSeries(metric.Series{Name: "a", Labels: []metric.Label{{Name: "b", Value: "c"}}})[sealSize:])
	f.Add(encodeLosses([]loss{{Loss: wire.Loss{Batches: 1, Reason: "r"}}})[sealSize:])
	f.Add(section{whole: true, reason: "r"}.encode()[sealSize:])
	f.Add(state{epoch: 1, next: 2}.encode()[sealSize:])
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeSeries(data)
		decodeLosses(data)
		decodeSection(data)
		decodeState(data)
		decodeRow(data)
		splitBatch(data)
	})
}
