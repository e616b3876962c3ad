package auth

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrNotLocalAdmin: the caller on the Unix socket is neither root nor the user
// that the collector runs as.
var ErrNotLocalAdmin = errors.New("only root and the collector's own user may use this socket")

// Peer returns who is at the other end of a Unix socket connection, as the kernel
// says: root and the collector's own user are admins.
//
// Where the system does not tell (Windows), who could open the socket is an admin:
// there the access control list of the data folder is the check, which the
// installer sets to administrators and the service's account.
func Peer(conn *net.UnixConn) (Principal, error) {
	uid, err := peerUID(conn)
	if errors.Is(err, errors.ErrUnsupported) {
		return Principal{Name: "local socket", Role: Admin}, nil
	}
	if err != nil {
		return Principal{}, fmt.Errorf("peer of the socket: %w", err)
	}
	return judgePeer(uid, os.Geteuid())
}

// judgePeer decides for a caller of the given user id.
func judgePeer(uid, own int) (Principal, error) {
	if uid != 0 && uid != own {
		return Principal{}, fmt.Errorf("%w: the caller has uid %d", ErrNotLocalAdmin, uid)
	}
	return Principal{Name: fmt.Sprintf("uid %d", uid), Role: Admin}, nil
}
