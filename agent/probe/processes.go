package probe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrMoreProcesses is the error of Processes when it has not listed all.
var ErrMoreProcesses = errors.New("there are more processes")

// Processes lists the numbers of the processes, in their order, but for those of the
// kernel, which have no files. With an error, such as ErrMoreProcesses, come those that
// were read before: on a live machine the first.
func (h *Host) Processes(limit int) ([]int, error) {
	dir, err := h.OpenDir("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close() // read only: nothing can be lost
	var pids []int
	threads := h.kernelThreads()
	for name := range dir.Names() {
		pid, bad := strconv.Atoi(name)
		if bad != nil || pid <= 0 || threads[pid] {
			continue
		}
		if len(pids) >= limit {
			err = fmt.Errorf("%w than the %d that were looked at", ErrMoreProcesses, limit)
			break
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, errors.Join(err, dir.Err())
}

// kernelThreads are the processes of the kernel, often most of all, which have neither
// files nor memory of their own: the children of kthreadd, which is process 2 outside of
// containers. Kernels without CONFIG_PROC_CHILDREN do not tell them: nil.
func (h *Host) kernelThreads() map[int]bool {
	if h.ReadString("/proc/2/comm") != "kthreadd" {
		return nil
	}
	threads := map[int]bool{2: true}
	for pid := range strings.FieldsSeq(h.ReadString("/proc/2/task/2/children")) {
		if n, err := strconv.Atoi(pid); err == nil {
			threads[n] = true
		}
	}
	return threads
}
