package services

import (
	"context"
	"net"
	"os"
	"time"
)

// busSocket is the system bus (D-Bus Specification, "Well-known Message Bus Instances").
const busSocket = "/run/dbus/system_bus_socket"

// busTimeout is more than a busy systemd takes to answer.
const busTimeout = 5 * time.Second

// loadedUnits asks the running systemd for its units. No file tells of failed ones.
func loadedUnits(ctx context.Context) (map[string]loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", busSocket)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // nothing is pending
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return nil, err
		}
	}
	return exchange(conn, os.Geteuid())
}
