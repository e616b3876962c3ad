package sockets

import (
	"fmt"
	"io/fs"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

// filesTell says whether the files that this package reads describe the host.
func filesTell(*probe.Host) error { return nil }

// diagnose visits the sockets of a network namespace, nil for that of the agent, that
// answer to the inquiries.
func diagnose(space *namespace, inquiries []inquiry, visit func(*endpoint)) error {
	fd, err := openDiag(space)
	if err != nil {
		return fmt.Errorf("open sock_diag: %w", err)
	}
	defer unix.Close(fd) // read only: nothing can be lost
	patience := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return fmt.Errorf("open sock_diag: %w", err)
	}
	buf := make([]byte, 32<<10) // the kernel fills at most 32 KiB at a time
	for _, q := range inquiries {
		if err := ask(fd, q.protocol, q.request, buf, visit); err != nil {
			return err
		}
	}
	return nil
}

func ask(fd int, protocol string, request, buf []byte, visit func(*endpoint)) error {
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask sock_diag: %w", err)
	}
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return fmt.Errorf("read sock_diag: %w", err)
		}
		if done, err := parseDiag(protocol, buf[:n], visit); err != nil || done {
			return err
		}
	}
}

func diagSocket() (int, error) {
	return unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
}

// openDiag opens a socket in a namespace. A socket stays in the namespace in which it
// was opened, so that a thread has to enter it for that moment only. The thread is one
// of its own, which ends when it cannot return: no other code may run in there.
func openDiag(space *namespace) (fd int, err error) {
	if space == nil {
		return diagSocket()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var back bool
		if fd, back, err = openWithin(fmt.Sprintf("/proc/%d/ns/net", space.pid)); back {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return fd, err
}

// openWithin opens a socket in the namespace of path; back says that the thread is
// where it was.
func openWithin(path string) (fd int, back bool, err error) {
	here, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, true, err
	}
	defer unix.Close(here) // read only: nothing can be lost
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, true, err
	}
	defer unix.Close(there) // read only: nothing can be lost
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return -1, true, err
	}
	fd, err = diagSocket()
	return fd, unix.Setns(here, unix.CLONE_NEWNET) == nil, err
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
