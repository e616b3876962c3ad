//go:build darwin || freebsd

package auth

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID asks LOCAL_PEERCRED at level 0, see unix(4): the user at the time of connect.
func peerUID(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Xucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptXucred(int(fd), 0, unix.LOCAL_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if optErr != nil {
		return 0, optErr
	}
	return int(cred.Uid), nil
}
