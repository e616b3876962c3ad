package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asHelper makes the test program a helper process; the word after it is its manner.
const asHelper = "atalaya-test-helper"

// work computes, holds memory and threads, says so, and waits for the end of its input:
// a process that does not move while it is looked at.
func work() {
	held := make([]byte, 24<<20)
	for used := int64(0); used < (200 * time.Millisecond).Nanoseconds(); { // of the processor: on a busy machine it may wait long for it
		for i := range held {
			held[i]++
		}
		var use syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
			panic(err)
		}
		used = use.Utime.Nano()
	}
	fmt.Println("ready", len(held))
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is what is waited for
}

func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != asHelper {
		os.Exit(m.Run())
	}
	switch os.Args[2] {
	case "dies":
		os.Exit(3)
	case "babbles":
		for {
			fmt.Println("what?")
		}
	case "floods":
		for {
			fmt.Print(strings.Repeat("1", 1000))
		}
	case "deaf":
		select {}
	case "computes":
		work()
		return
	}
	err := ServeHelper(os.Stdin, os.Stdout, map[string]Task{
		"echo":    func(p string) ([]byte, error) { return []byte(p), nil },
		"hang":    func(string) ([]byte, error) { time.Sleep(time.Hour); return nil, nil },
		ListTask:  ListAnswer,
		FileTask:  FileAnswer,
		"panic":   func(string) ([]byte, error) { panic("no") },
		"denied":  func(string) ([]byte, error) { return nil, fs.ErrPermission },
		"large":   func(string) ([]byte, error) { return make([]byte, maxData+1), nil },
		"largest": func(string) ([]byte, error) { return make([]byte, maxData), nil },
		"pid":     func(string) ([]byte, error) { return fmt.Append(nil, os.Getpid()), nil },
	})
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// helped returns a host with a helper of this manner, whose patience is short.
func helped(t *testing.T, manner string) *Host {
	t.Helper()
	h := LiveHost().WithHelper("/proc/self/exe", asHelper, manner)
	h.asker.patience = 300 * time.Millisecond
	t.Cleanup(func() {
		h.asker.regular = time.Time{}
		h.asker.retire(h)
		if n := len(h.asker.dying); n > 0 || h.asker.child != nil {
			t.Errorf("%d helpers are left, one of use: %v", n, h.asker.child != nil)
		}
	})
	return h
}

// ask asks one question to its end.
func ask(h *Host, task, path string) Answer {
	i := Inquiry{Questions: []Question{{task, path}}, Keep: true}
	h.Ask(context.Background(), &i)
	return i.Answers[0]
}

func TestAHelperAnswers(t *testing.T) {
	h := helped(t, "works")
	for _, path := range []string{"/srv", "", "/a b\n\x00\xff\"é", strings.Repeat("\xff", 4096)} {
		if a := ask(h, "echo", path); a.Err != nil || string(a.Data) != path || a.At.IsZero() {
			t.Errorf("%q: %q, %v", path, a.Data, a.Err)
		}
	}
	if a := ask(h, "largest", ""); a.Err != nil || len(a.Data) != maxData {
		t.Errorf("largest: %d bytes, %v", len(a.Data), a.Err)
	}
	f := func(task string, kind error, text string) {
		t.Helper()
		a := ask(h, task, "/")
		if a.Err == nil || !strings.Contains(a.Err.Error(), text) || kind != nil && !errors.Is(a.Err, kind) {
			t.Errorf("%s: %v", task, a.Err)
		}
	}
	f("denied", fs.ErrPermission, "permission")
	f("nothing", errors.ErrUnsupported, "unknown task")
	f("panic", nil, "panic: no")
	f("large", nil, "larger than the limit")
	if one, two := ask(h, "pid", "1"), ask(h, "pid", "2"); string(one.Data) != string(two.Data) {
		t.Errorf("helpers %s and %s: not the same one", one.Data, two.Data)
	}
	if h.childCPU.Load() <= 0 {
		t.Error("the helper's CPU time is not known")
	}
}

func TestAnAnswerIsKeptForItsTime(t *testing.T) {
	h := helped(t, "works")
	i := Inquiry{Questions: []Question{{"pid", ""}}, MaxAge: time.Hour, Keep: true}
	h.Ask(t.Context(), &i)
	at := i.Answers[0].At
	h.Ask(t.Context(), &i)
	if !i.Answers[0].At.Equal(at) {
		t.Error("asked again within its time")
	}
	i.MaxAge = 0
	h.Ask(t.Context(), &i)
	if i.Answers[0].At.Equal(at) {
		t.Error("not asked again")
	}
}

// TestAQuestionThatHangsHoldsNothingElse asks what hangs together with what does not.
func TestAQuestionThatHangsHoldsNothingElse(t *testing.T) {
	h := helped(t, "works")
	tasks := func() int {
		list, _ := os.ReadDir("/proc/self/task")
		return len(list)
	}
	ask(h, "echo", "")
	before := tasks()
	i := Inquiry{Questions: []Question{{"hang", "1"}, {"echo", "2"}, {"hang", "3"}}, Keep: true}
	began := time.Now()
	h.Ask(t.Context(), &i)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if a := i.Answers; !errors.Is(a[0].Err, ErrNoAnswer) || a[1].Err != nil || !errors.Is(a[2].Err, ErrNoAnswer) {
		t.Errorf("answers: %+v", a)
	}
	for range 20 {
		i.Wait = 50 * time.Millisecond
		began := time.Now()
		h.Ask(t.Context(), &i)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the next one took %v", took)
		}
		if i.Answers[1].Err != nil || !errors.Is(i.Answers[0].Err, ErrNoAnswer) {
			t.Errorf("answers: %+v", i.Answers)
		}
	}
	if after := tasks(); after > before+2 {
		t.Errorf("%d threads before, %d after", before, after)
	}
	x := h.asker.asked[i.Questions[0]]
	if until := time.Until(x.retry); until < retryFirst/2 || until > retryFirst {
		t.Errorf("asked again in %v", until)
	}
	x.retry = time.Time{} // the time has come
	i.Wait = 0
	h.Ask(t.Context(), &i)
	if until := time.Until(x.retry); until < retryFirst || until > 2*retryFirst {
		t.Errorf("asked again in %v", until)
	}
}

func TestWhatWasKnownStaysBesideTheError(t *testing.T) {
	h := helped(t, "works")
	q := Question{"hang", ""}
	at := time.Now().Add(-time.Hour)
	h.asker.asked[q] = &asking{known: true, answer: Answer{Data: []byte("before"), At: at}}
	i := Inquiry{Questions: []Question{q}}
	h.Ask(t.Context(), &i)
	if a := i.Answers[0]; !errors.Is(a.Err, ErrNoAnswer) || string(a.Data) != "before" || !a.At.Equal(at) {
		t.Errorf("answer: %+v", a)
	}
}

func TestAShortWaitIsKept(t *testing.T) {
	h := helped(t, "works")
	i := Inquiry{Questions: []Question{{"hang", ""}}, Wait: 20 * time.Millisecond, Keep: true}
	began := time.Now()
	h.Ask(t.Context(), &i)
	if took := time.Since(began); took > 250*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if !errors.Is(i.Answers[0].Err, ErrPending) {
		t.Errorf("answer: %+v", i.Answers[0])
	}
	h.asker.turn <- struct{}{} // somebody else asks
	i = Inquiry{Questions: []Question{{"echo", ""}}, Wait: 20 * time.Millisecond}
	h.Ask(t.Context(), &i)
	<-h.asker.turn
	if !errors.Is(i.Answers[0].Err, ErrPending) {
		t.Errorf("answer: %+v", i.Answers[0])
	}
	h.asker.flying[1].sent = time.Time{} // given up
	ask(h, "echo", "")
}

// TestAReadingThatNoOtherFollowsAwaitsTheVerdict has a probe ask what hangs, for a command.
func TestAReadingThatNoOtherFollowsAwaitsTheVerdict(t *testing.T) {
	h := helped(t, "works")
	i := Inquiry{Questions: []Question{{"hang", ""}, {"echo", "a"}}, Wait: time.Millisecond, Keep: true}
	RunOnce(t.Context(), h, metricProbe("asks", func(ctx context.Context, h *Host, _ *Report) error {
		h.Ask(ctx, &i)
		return nil
	}))
	if !errors.Is(i.Answers[0].Err, ErrNoAnswer) || string(i.Answers[1].Data) != "a" {
		t.Errorf("answers: %+v", i.Answers)
	}
}

func TestBadHelpersAreGivenUp(t *testing.T) {
	for _, manner := range []string{"dies", "babbles", "floods", "deaf"} {
		t.Run(manner, func(t *testing.T) {
			h := helped(t, manner)
			began := time.Now()
			for range 3 {
				if a := ask(h, "echo", ""); a.Err == nil {
					t.Errorf("answer: %+v", a)
				}
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	h := LiveHost().WithHelper("/nonexistent")
	if a := ask(h, "echo", ""); !errors.Is(a.Err, fs.ErrNotExist) {
		t.Errorf("a missing program: %+v", a)
	}
	if a := ask(LiveHost(), "echo", ""); !errors.Is(a.Err, errors.ErrUnsupported) {
		t.Errorf("no helper: %+v", a)
	}
	if a := ask(RootHost("/").WithHelper("/proc/self/exe", asHelper, "works"), "echo", ""); !errors.Is(a.Err, errors.ErrUnsupported) {
		t.Errorf("below a root: %+v", a)
	}
}

func TestAHelperThatWasKilledAtRestIsReplaced(t *testing.T) {
	h := helped(t, "works")
	first := ask(h, "pid", "1")
	h.asker.child.kill()
	h.asker.child.awaitEnd()
	if a := ask(h, "pid", "2"); a.Err != nil || string(a.Data) == string(first.Data) {
		t.Errorf("after %q: %+v", first.Data, a)
	}
}

// TestHelpersThatCannotBeKilledAreCounted has helpers that do not end when they are
// killed, as in an uninterruptible call; tests of package agent have real ones.
func TestHelpersThatCannotBeKilledAreCounted(t *testing.T) {
	h := helped(t, "works")
	a := h.asker
	ask(h, "echo", "1")
	unkillable := &child{pid: 1} // no child of ours: asking for its end says so
	hung := &asking{known: true, failures: 1, in: unkillable}
	a.asked[Question{"echo", "hung"}] = hung
	if answer := ask(h, "echo", "hung"); hung.request != 0 || len(answer.Data) > 0 {
		t.Error("asked again while the helper that hung on it has not ended")
	}
	unkillable.ended = true
	if answer := ask(h, "echo", "hung"); string(answer.Data) != "hung" {
		t.Errorf("not asked when that helper had ended: %+v", answer)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`7 statfs "/proc/1/root/srv"`))
	f.Add([]byte(`1 x ""`))
	f.Add([]byte("18446744073709551616 x `a`"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, q, ok := parseRequest(b)
		if !ok {
			return
		}
		line := appendRequest(nil, id, q)
		if again, same, ok := parseRequest(line[:len(line)-1]); !ok || again != id || same != q {
			t.Errorf("%q gives %d %+v, then %d %+v", b, id, q, again, same)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("7 5210 + MTAyNA=="))
	f.Add([]byte(`8 5333 - denied "permission denied"`))
	f.Add([]byte("9 1 + "))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseReply(b)
		if !ok {
			return
		}
		line := appendReply(nil, r)
		again, ok := parseReply(line[:len(line)-1])
		if !ok || again.request != r.request || again.cpu != r.cpu || string(again.data) != string(r.data) || (again.err == nil) != (r.err == nil) {
			t.Errorf("%q gives %+v, then %+v", b, r, again)
		}
	})
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte("4096 1 2 3 4"))
	f.Add([]byte("4096 1 2 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := ParseUsage(b); err == nil {
			again, err := ParseUsage(fmt.Appendf(nil, "%d %d %d %d %d", u.Size, u.Free, u.Avail, u.Files, u.FilesFree))
			if err != nil || again != u {
				t.Errorf("%q gives %+v, then %+v, %v", b, u, again, err)
			}
		}
	})
}

func TestSuspects(t *testing.T) {
	var s Suspects
	s.Add("/srv", "nfs4")
	s.Add("/home/u/phone", "fuse.mtp")
	s.Add("/data", "ext4")
	f := func(path string, want bool) {
		t.Helper()
		if got := s.Has(path); got != want {
			t.Errorf("%s is suspect: %v, want %v", path, got, want)
		}
	}
	f("/srv", true)
	f("/srv/disk", true)
	f("/srv2", false)
	f("/", false)
	f("/data", false)
	f("/home/u", false)
	f("/home/u/phone", true)
	s.Add("/", "nfs")
	f("/", true)
	f("/data", false)
}
