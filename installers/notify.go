package installers

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// States for Notify, see sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
	Status   = "STATUS=" // with a text for people behind it
)

// Notify tells the service manager about the program's state. Without a service
// manager that wants to know it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] == '@' {
		path = "\x00" + path[1:] // abstract socket
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// ReadyEvery is Ready from a program that will say Alive once in an interval. It asks
// the service manager for more patience where three intervals are more than the unit
// allows; systemd would restart a healthy program that reads once an hour.
func ReadyEvery(interval time.Duration) string {
	limit, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || limit <= 0 || 3*interval.Microseconds() <= limit {
		return Ready
	}
	return fmt.Sprintf("%s\nWATCHDOG_USEC=%d", Ready, 3*interval.Microseconds())
}
