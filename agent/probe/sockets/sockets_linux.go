package sockets

import (
	"fmt"
	"io/fs"
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

// eachLink calls visit with the target of each link in a folder. A host has tens of
// thousands of open files: two system calls and one small allocation for each, where
// package os takes three and six.
func eachLink(h *probe.Host, folder string, visit func(target []byte)) error {
	p, err := h.Path(folder)
	if err != nil {
		return err
	}
	dir, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(dir) // read only: nothing can be lost
	var entries [8192]byte
	var target [64]byte // "socket:[18446744073709551615]" is 29 bytes; longer ones are files
	var names []string
	for {
		n, err := unix.ReadDirent(dir, entries[:])
		if err != nil {
			return &fs.PathError{Op: "read", Path: folder, Err: err}
		}
		if n == 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(entries[:n], -1, names[:0])
		for _, name := range names {
			switch size, err := unix.Readlinkat(dir, name, target[:]); err {
			case nil:
				visit(target[:size])
			case unix.EACCES, unix.EPERM: // of one link as of all
				return &fs.PathError{Op: "readlink", Path: folder, Err: err}
			}
			// Any other error: it was closed meanwhile.
		}
	}
}
