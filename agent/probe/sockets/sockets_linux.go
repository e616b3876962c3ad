package sockets

import (
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

// filesTell says whether the files that this package reads describe the host.
func filesTell(*probe.Host) error { return nil }

// queries are the families, protocols and masks of states to ask for.
var queries = map[string]struct {
	family, protocol byte
	states           uint32
}{
	"tcp": {unix.AF_INET, unix.IPPROTO_TCP, maskListen}, "tcp6": {unix.AF_INET6, unix.IPPROTO_TCP, maskListen},
	"udp": {unix.AF_INET, unix.IPPROTO_UDP, maskClosed}, "udp6": {unix.AF_INET6, unix.IPPROTO_UDP, maskClosed},
}

// listeners asks the kernel for the sockets of a protocol that wait for peers.
func listeners(list []socket, protocol string) ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return list, fmt.Errorf("open sock_diag: %w", err)
	}
	defer unix.Close(fd) // read only: nothing can be lost
	patience := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return list, fmt.Errorf("open sock_diag: %w", err)
	}
	q := queries[protocol]
	if err := unix.Sendto(fd, diagRequest(q.family, q.protocol, q.states), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return list, fmt.Errorf("ask sock_diag: %w", err)
	}
	buf := make([]byte, 32<<10) // the kernel fills at most 32 KiB at a time
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return list, fmt.Errorf("read sock_diag: %w", err)
		}
		var done bool
		if list, done, err = parseDiag(list, protocol, buf[:n]); err != nil || done {
			return list, err
		}
	}
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
