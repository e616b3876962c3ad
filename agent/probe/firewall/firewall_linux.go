package firewall

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// readRuleset asks the kernel for tables, chains and rules.
func readRuleset() (*ruleset, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) // read only: nothing can be lost
	patience := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return nil, err
	}
	rs := &ruleset{rules: make(map[[3]string]int)}
	buf := make([]byte, 64<<10)
	for _, kind := range []uint16{getTable, getChain, getRule} {
		if err := unix.Sendto(fd, request(kind), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, err
		}
		for done := false; !done; {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return nil, err
			}
			if done, err = rs.take(buf[:n]); err != nil {
				return nil, err
			}
		}
	}
	return rs, nil
}

// errorOf is the error in struct nlmsgerr: a negative number of errno(3).
func errorOf(b []byte) error {
	if len(b) < 4 {
		return errNetlink
	}
	switch errno := unix.Errno(-int32(binary.NativeEndian.Uint32(b))); errno {
	case unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT, unix.EAFNOSUPPORT: // no nftables in this kernel
		return fmt.Errorf("nftables: %w", unix.ENOENT)
	default:
		return errno
	}
}
