package probe

import (
	"time"

	"golang.org/x/sys/unix"
)

// netlinkPatience is how long the kernel may take for a datagram. It answers at once.
const netlinkPatience = time.Second

func openNetlink(protocol int) (*Netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	patience := unix.NsecToTimeval(int64(netlinkPatience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Netlink{fd: fd, buf: make([]byte, 32<<10)}, nil // the kernel fills at most 32 KiB at a time
}

// Close ends it. Nothing was written that could be lost.
func (n *Netlink) Close() { unix.Close(n.fd) }

func (n *Netlink) send(request []byte) error {
	return unix.Sendto(n.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (n *Netlink) receive() ([]byte, error) {
	size, _, err := unix.Recvfrom(n.fd, n.buf, unix.MSG_TRUNC) // the size is that of the whole
	if err != nil {
		return nil, err
	}
	if size > len(n.buf) {
		return nil, ErrNetlink
	}
	n.host.Charge(size)
	return n.buf[:size], nil
}
