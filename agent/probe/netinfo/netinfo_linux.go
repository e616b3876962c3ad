package netinfo

import (
	"fmt"
	"syscall"

	"atalaya/agent/probe"
)

// filesTell says whether the files that this package reads describe the host.
func filesTell(*probe.Host) error { return nil }

// dumpAddresses asks the kernel for all addresses and returns its messages.
func dumpAddresses() ([]byte, error) {
	b, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("ask netlink for addresses: %w", err)
	}
	return b, nil
}
