package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// maxSocketPath is the longest path of a Unix socket that every system takes
// (sun_path, 104 bytes on the BSDs with its end).
const maxSocketPath = 103

// Listen opens the TCP listener of the interface. Without TLS it takes loopback
// addresses only: a token must never cross a network readable.
func Listen(address string, config *tls.Config) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: want HOST:PORT: %w", address, err)
	}
	if host == "localhost" {
		host, address = "127.0.0.1", net.JoinHostPort("127.0.0.1", port)
	}
	if config == nil && !loopback(host) {
		return nil, fmt.Errorf("listen on %s: not this machine's loopback, so it needs TLS (set api.certificate and api.key, or listen on 127.0.0.1)", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w (is another collector running? set api.listen to another port)", err)
	}
	if config != nil {
		return tls.NewListener(l, config), nil
	}
	return l, nil
}

// loopback takes addresses only: a name can be pointed elsewhere.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// ListenSocket opens the Unix socket for callers on this machine, with mode 0600.
// A socket that a dead collector left behind is removed; a living one is not.
func ListenSocket(path string) (*net.UnixListener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket path %q has %d bytes, at most %d are possible: use a shorter data folder", path, len(path), maxSocketPath)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	// Between bind and chmod others may connect; they are told apart by Peer.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on socket: %w", err), l.Close())
	}
	return l, nil
}

func removeDead(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on socket: %w", err)
	}
	if info.Mode()&(fs.ModeSocket|fs.ModeIrregular) == 0 { // irregular: a socket on older Windows
		return fmt.Errorf("listen on socket: %s exists and is no socket: move it away", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close() // nothing was written
		return fmt.Errorf("listen on socket: a collector answers on %s already: stop it first", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove dead socket: %w", err)
	}
	return nil
}
