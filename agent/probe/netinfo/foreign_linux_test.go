package netinfo

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

func TestInterfacesOfAnotherNamespaceAreKnown(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	lo, eth := net.Interface{Index: 1, Name: "lo"}, net.Interface{Index: 2, Name: "eth0", HardwareAddr: mac}
	rowLo, rowEth := &facts.InterfaceRow{Index: 1, Name: "lo"}, &facts.InterfaceRow{Index: 2, Name: "eth0", MAC: mac.String()}
	other := &facts.InterfaceRow{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:02"}
	f := func(what string, rows []*facts.InterfaceRow, list []net.Interface, want bool, there ...string) {
		t.Helper()
		still := func(name string) bool {
			for _, n := range there {
				if n == name {
					return true
				}
			}
			return false
		}
		if got := foreign(rows, list, still); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("the same", []*facts.InterfaceRow{rowLo, rowEth}, []net.Interface{lo, eth}, false, "lo", "eth0")
	f("one came meanwhile", []*facts.InterfaceRow{rowLo}, []net.Interface{lo, eth}, false, "lo", "eth0")
	f("one went meanwhile", []*facts.InterfaceRow{rowLo, rowEth}, []net.Interface{lo}, false, "lo")
	f("more in /sys", []*facts.InterfaceRow{rowLo, rowEth}, []net.Interface{lo}, true, "lo", "eth0")
	f("less in /sys", []*facts.InterfaceRow{rowLo}, []net.Interface{lo, eth}, true, "lo")
	f("nothing in /sys", nil, []net.Interface{lo}, true)
	f("another card of that name", []*facts.InterfaceRow{rowLo, other}, []net.Interface{lo, eth}, true, "lo", "eth0")
}

// TestInterfacesAreThoseOfTheAgentsNamespace enters an empty one, in which /sys is still
// that of the machine.
func TestInterfacesAreThoseOfTheAgentsNamespace(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Logf("not tested: this user may not make network namespaces: %v", err)
			return
		}
		names, err := collectInterfaces(probe.LiveHost(), probe.NewReport(nil, 100))
		if err != nil || names[1] != "lo" {
			t.Errorf("%v, %v", names, err)
		}
		own, err := net.Interfaces()
		if err != nil || len(own) != len(names) {
			t.Errorf("%v, want %v (%v)", names, own, err)
		}
	}()
	<-done
}
