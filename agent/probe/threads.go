package probe

import (
	"strconv"
	"strings"
)

// KernelThreads are the processes of the kernel, often most of all, which have neither
// files nor memory of their own: the children of kthreadd, which is process 2 outside of
// containers. Kernels without CONFIG_PROC_CHILDREN do not tell them: nil.
func (h *Host) KernelThreads() map[int]bool {
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
