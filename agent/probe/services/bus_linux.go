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

// loadedUnits asks the running systemd for its services, timers and sockets. No file
// tells of failed ones.
func loadedUnits(ctx context.Context) (out map[string]loaded, err error) {
	err = onBus(ctx, func(s *session) error {
		out, err = s.units("*"+service, "*"+timer, "*"+socket)
		return err
	})
	return out, err
}

// onBus talks to the system bus.
func onBus(ctx context.Context, talk func(*session) error) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", busSocket)
	if err != nil {
		return err
	}
	defer conn.Close() // nothing is pending
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return err
		}
	}
	return talk(newSession(conn, os.Geteuid()))
}
