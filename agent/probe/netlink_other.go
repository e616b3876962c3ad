//go:build !linux

package probe

import "errors"

func openNetlink(int) (*Netlink, error) { return nil, errors.ErrUnsupported }

// Close ends it.
func (n *Netlink) Close() {}

func (n *Netlink) send([]byte) error { return errors.ErrUnsupported }

func (n *Netlink) receive() ([]byte, error) { return nil, errors.ErrUnsupported }
