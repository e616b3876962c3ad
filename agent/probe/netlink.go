package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// Of netlink(7): <linux/netlink.h>.
const (
	// NetlinkHeader is the length of struct nlmsghdr: length, kind, flags, number and port.
	NetlinkHeader      = 16
	netlinkError       = 2    // NLMSG_ERROR
	netlinkDone        = 3    // NLMSG_DONE
	netlinkInterrupted = 0x10 // NLM_F_DUMP_INTR
	// netlinkTries is how often a list is asked for that changes while the kernel tells it.
	netlinkTries = 3
)

var (
	// ErrNetlink is an answer that was not understood. What was visited before stands.
	ErrNetlink = errors.New("netlink answer is cut off or malformed")
	// ErrNetlinkRefused is a question that the kernel, or a sandbox, does not take. The
	// number of the error is kept beside it.
	ErrNetlinkRefused = errors.New("netlink refuses")
	// ErrNetlinkChanged is a list that changed while it was told: some that was visited may
	// have gone, some may be missing.
	ErrNetlinkChanged = errors.New("the list changed while the kernel told it")
)

// refusedNetlink is an ErrNetlinkRefused with its cause, which alone says whether netlink is
// absent (see Absent).
type refusedNetlink struct{ cause error }

func (e refusedNetlink) Error() string        { return ErrNetlinkRefused.Error() + ": " + e.cause.Error() }
func (e refusedNetlink) Is(target error) bool { return target == ErrNetlinkRefused }
func (e refusedNetlink) Unwrap() error        { return e.cause }

// Netlink is a socket on which the kernel is asked for lists of what it has. After an
// error other than ErrNetlinkChanged it is of no more use.
type Netlink struct {
	fd   int
	buf  []byte
	host *Host // that is charged
}

// Netlink opens a socket of a protocol (NETLINK_ROUTE, ...), in the network namespace of
// the thread. Below a root there is no kernel to ask.
func (h *Host) Netlink(protocol int) (*Netlink, error) {
	if !h.Live() {
		return nil, errors.ErrUnsupported
	}
	n, err := openNetlink(protocol)
	if err != nil {
		return nil, refusedNetlink{err}
	}
	n.host = h
	return n, nil
}

// NetlinkDump is a question about all objects of a kind.
type NetlinkDump struct {
	Request []byte // see NetlinkRequest
	// Begin forgets what was visited: the list changed meanwhile and is asked for again. Nil
	// where that cannot be.
	Begin func()
	// Visit takes a message. What it gets must not be kept.
	Visit func(kind uint16, body []byte) error
}

// NetlinkRequest asks for all objects, with room for a body of size bytes.
func NetlinkRequest(kind uint16, size int) []byte {
	const request, dump = 0x1, 0x300 // NLM_F_REQUEST, NLM_F_DUMP
	b := make([]byte, NetlinkHeader+size)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], request|dump)
	return b
}

// Ask sends a question and visits the answer.
func (n *Netlink) Ask(d NetlinkDump) error { return d.ask(n) }

// netlinkSocket is what Ask needs of a socket: one datagram each.
type netlinkSocket interface {
	send(request []byte) error
	receive() ([]byte, error)
}

func (d NetlinkDump) ask(s netlinkSocket) error {
	for try := 1; ; try++ {
		changed, err := d.once(s)
		switch {
		case err != nil || !changed:
			return err
		case d.Begin == nil || try == netlinkTries:
			return ErrNetlinkChanged
		}
		d.Begin()
	}
}

// once asks and visits the whole answer; changed tells that it is not of one moment.
func (d NetlinkDump) once(s netlinkSocket) (changed bool, err error) {
	err = syscall.EINTR
	for errors.Is(err, syscall.EINTR) {
		err = s.send(d.Request)
	}
	if err != nil {
		return false, refusedNetlink{err}
	}
	for done := false; !done; {
		b, err := s.receive()
		if errors.Is(err, syscall.EINTR) { // a time limit makes signals end the call, whatever they are (signal(7))
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read netlink: %w", err)
		}
		var cut bool
		if done, cut, err = netlinkMessages(b, d.Visit); err != nil {
			return false, err
		}
		changed = changed || cut
	}
	return changed, nil
}

// netlinkMessages visits the messages of one datagram; done when it was the last.
func netlinkMessages(b []byte, visit func(kind uint16, body []byte) error) (done, changed bool, err error) {
	for len(b) >= NetlinkHeader {
		size := int(binary.NativeEndian.Uint32(b))
		if size < NetlinkHeader || size > len(b) {
			return false, changed, ErrNetlink
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[NetlinkHeader:size]
		changed = changed || binary.NativeEndian.Uint16(b[6:])&netlinkInterrupted != 0
		switch kind {
		case netlinkDone:
			if errno := netlinkErrno(body); errno != 0 {
				return true, changed, fmt.Errorf("read netlink: %w", errno)
			}
			return true, changed, nil
		case netlinkError:
			if errno := netlinkErrno(body); errno != 0 {
				return true, changed, refusedNetlink{errno}
			}
			return true, changed, ErrNetlink // it was not asked to confirm
		}
		if err := visit(kind, body); err != nil {
			return false, changed, err
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	if len(b) > 0 {
		return false, changed, ErrNetlink
	}
	return false, changed, nil
}

// netlinkErrno is the negative number with which a message of errors, or of the end,
// begins; 0 for none.
func netlinkErrno(body []byte) syscall.Errno {
	if len(body) < 4 {
		return 0
	}
	return syscall.Errno(max(-int32(binary.NativeEndian.Uint32(body)), 0))
}

// NetlinkAttributes visits the attributes of a message, whose kinds come without flags.
func NetlinkAttributes(b []byte, visit func(kind uint16, value []byte)) error {
	for len(b) >= 4 {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff
		if size < 4 || size > len(b) {
			return ErrNetlink
		}
		visit(kind, b[4:size])
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}
