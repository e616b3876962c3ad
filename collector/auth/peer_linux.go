package auth

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID asks SO_PEERCRED, see unix(7): the user at the time of connect.
func peerUID(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if optErr != nil {
		return 0, optErr
	}
	return int(cred.Uid), nil
}
