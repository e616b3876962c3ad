package agent

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCoalesceTimersReachesEveryThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_SYS_NICE")
	}
	file := func(tid string) string { return "/proc/" + tid + "/timerslack_ns" }
	before, err := os.ReadFile(file(fmt.Sprint(unix.Gettid())))
	if err != nil {
		t.Skip(err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	CoalesceTimers()
	for _, th := range threads {
		got, err := os.ReadFile(file(th.Name()))
		if err != nil {
			continue // it has ended
		}
		if strings.TrimSpace(string(got)) != fmt.Sprint(timerSlack.Nanoseconds()) {
			t.Errorf("thread %s: slack is %s ns, want %d", th.Name(), got, timerSlack.Nanoseconds())
		}
		if err := os.WriteFile(file(th.Name()), before, 0); err != nil {
			t.Error(err)
		}
	}
}
