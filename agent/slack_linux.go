package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// timerSlack is by how much the system may put off a wake-up of this process. Go's
// runtime looks after a thread in a system call each 20 microseconds and then more and
// more rarely: at rest, a fifth of all the processor time that the agent takes. No
// reading, and nothing on the wire, is as exact as this.
const timerSlack = 10 * time.Millisecond

// CoalesceTimers lets the system put the wake-ups of this process together. Threads to
// come inherit it. It takes CAP_SYS_NICE; the service's unit, which gives no such right,
// says the same itself. Refused, the agent runs as it is, and takes more.
func CoalesceTimers() {
	slack := []byte(strconv.FormatInt(timerSlack.Nanoseconds(), 10))
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		_ = os.WriteFile(filepath.Join("/proc", t.Name(), "timerslack_ns"), slack, 0) // refused: as it is
	}
}
