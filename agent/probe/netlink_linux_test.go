package probe

import (
	"errors"
	"syscall"
	"testing"
)

// TestNetlinkOfTheKernel asks for the network interfaces, twice on one socket, and for what
// the kernel has not.
func TestNetlinkOfTheKernel(t *testing.T) {
	h := LiveHost()
	n, err := h.Netlink(syscall.NETLINK_ROUTE)
	if err != nil {
		t.Skipf("no netlink here: %v", err)
	}
	defer n.Close()
	for range 2 {
		links := 0
		d := NetlinkDump{Request: NetlinkRequest(syscall.RTM_GETLINK, 1), Begin: func() { links = 0 }, Visit: func(kind uint16, body []byte) error {
			if kind == syscall.RTM_NEWLINK && len(body) >= syscall.SizeofIfInfomsg {
				links++
			}
			return nil
		}}
		if err := n.Ask(d); err != nil || links == 0 {
			t.Errorf("%d interfaces, %v", links, err)
		}
	}
	if h.bytes.Load() == 0 {
		t.Error("what was read is not charged")
	}
	d := NetlinkDump{Request: NetlinkRequest(syscall.RTM_GETLINK+1000, 1)}
	if err := n.Ask(d); !errors.Is(err, ErrNetlinkRefused) || !errors.As(err, new(syscall.Errno)) {
		t.Errorf("an unknown request: %v", err)
	}
}
