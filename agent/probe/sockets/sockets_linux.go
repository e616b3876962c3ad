package sockets

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

// filesTell says whether the files that this package reads describe the host.
func filesTell(*probe.Host) error { return nil }

// openDiag opens a socket in a namespace. A socket stays in the namespace in which it
// was opened, so that a thread has to enter it for that moment only. The thread is one
// of its own, which ends when it cannot return: no other code may run in there.
func openDiag(h *probe.Host, space *namespace) (n *probe.Netlink, err error) {
	if space == nil {
		return h.Netlink(netlinkSockDiag)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var back bool
		if n, back, err = openWithin(h, fmt.Sprintf("/proc/%d/ns/net", space.pid)); back {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return n, err
}

// openWithin opens a socket in the namespace of path; back says that the thread is
// where it was.
func openWithin(h *probe.Host, path string) (n *probe.Netlink, back bool, err error) {
	here, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, true, err
	}
	defer unix.Close(here) // read only: nothing can be lost
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, true, err
	}
	defer unix.Close(there) // read only: nothing can be lost
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return nil, true, err
	}
	n, err = h.Netlink(netlinkSockDiag)
	return n, unix.Setns(here, unix.CLONE_NEWNET) == nil, err
}

// fileInode is the number of a file, 0 when it cannot be told.
func fileInode(h *probe.Host, name string) uint64 {
	p, err := h.Path(name)
	if err != nil {
		return 0
	}
	var st unix.Stat_t
	if unix.Stat(p, &st) != nil {
		return 0
	}
	return st.Ino
}
