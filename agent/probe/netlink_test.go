package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// netlinkMessage is a message with these flags.
func netlinkMessage(kind, flags uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(NetlinkHeader+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(append(b, make([]byte, 8)...), body...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// errno is the body of a message of errors.
func errno(e syscall.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-int32(e))) }

// fakeKernel gives its answers one after the other, a datagram or an error each.
type fakeKernel struct {
	sends    []error // of the first requests; nil beyond
	answers  []any
	requests int
}

func (k *fakeKernel) send([]byte) error {
	k.requests++
	if len(k.sends) > 0 {
		err := k.sends[0]
		k.sends = k.sends[1:]
		return err
	}
	return nil
}

func (k *fakeKernel) receive() ([]byte, error) {
	if len(k.answers) == 0 {
		return nil, syscall.EAGAIN // the time limit
	}
	a := k.answers[0]
	k.answers = k.answers[1:]
	if err, ok := a.(error); ok {
		return nil, err
	}
	return a.([]byte), nil
}

func TestNetlinkAnswers(t *testing.T) {
	row := func(n byte) []byte { return netlinkMessage(20, 2, n) }
	changed := netlinkMessage(20, 2|netlinkInterrupted, 7)
	done := netlinkMessage(netlinkDone, 2, errno(0)...)
	bad := errors.New("bad row")
	for _, c := range []struct {
		name     string
		kernel   fakeKernel
		want     string // what was visited
		err      error  // nil: none
		requests int
	}{
		{"two datagrams", fakeKernel{answers: []any{slices.Concat(row(1), row(2)), slices.Concat(row(3), done)}}, "123", nil, 1},
		{"an end without a number", fakeKernel{answers: []any{row(1), netlinkMessage(netlinkDone, 2)}}, "1", nil, 1},
		{"behind the end", fakeKernel{answers: []any{slices.Concat(row(1), done, row(2))}}, "1", nil, 1},
		{"signals", fakeKernel{sends: []error{syscall.EINTR, syscall.EINTR}, answers: []any{syscall.EINTR, row(1), syscall.EINTR, done}}, "1", nil, 3},
		{"changed once", fakeKernel{answers: []any{slices.Concat(row(1), changed), done, row(1), slices.Concat(row(2), done)}}, "12", nil, 2},
		{"changed, told at the end", fakeKernel{answers: []any{row(1), netlinkMessage(netlinkDone, netlinkInterrupted), row(2), done}}, "2", nil, 2},
		{"changed at each try", fakeKernel{answers: []any{changed, done, changed, done, row(1), changed, done}}, "17", ErrNetlinkChanged, 3},
		{"no end", fakeKernel{answers: []any{row(1)}}, "1", syscall.EAGAIN, 1},
		{"refused", fakeKernel{answers: []any{netlinkMessage(netlinkError, 0, errno(syscall.EPERM)...)}}, "", fs.ErrPermission, 1},
		{"refused by its name", fakeKernel{answers: []any{netlinkMessage(netlinkError, 0, errno(syscall.EPERM)...)}}, "", ErrNetlinkRefused, 1},
		{"not there", fakeKernel{sends: []error{syscall.ENOSYS}}, "", errors.ErrUnsupported, 1},
		{"refused when sent", fakeKernel{sends: []error{syscall.EACCES}}, "", ErrNetlinkRefused, 1},
		{"an error at the end", fakeKernel{answers: []any{slices.Concat(row(1), netlinkMessage(netlinkDone, 2, errno(syscall.ENOMEM)...))}}, "1", syscall.ENOMEM, 1},
		{"a confirmation", fakeKernel{answers: []any{netlinkMessage(netlinkError, 0, errno(0)...)}}, "", ErrNetlink, 1},
		{"cut in a message", fakeKernel{answers: []any{slices.Concat(row(1), row(2)[:16])}}, "1", ErrNetlink, 1},
		{"cut in a header", fakeKernel{answers: []any{slices.Concat(row(1), row(2)[:10])}}, "1", ErrNetlink, 1},
		{"shorter than its header", fakeKernel{answers: []any{[]byte(strings.Repeat("\x01\x00\x00\x00", 5))}}, "", ErrNetlink, 1},
		{"a row that is bad", fakeKernel{answers: []any{slices.Concat(row(1), row(99), row(2)), done}}, "1", bad, 1},
	} {
		var got string
		d := NetlinkDump{Begin: func() { got = "" }, Visit: func(kind uint16, body []byte) error {
			if body[0] == 99 {
				return bad
			}
			got += fmt.Sprint(body[0])
			return nil
		}}
		err := d.ask(&c.kernel)
		if errors.Is(c.err, errors.ErrUnsupported) != Absent(err) {
			t.Errorf("%s: %v is absent: %t", c.name, err, Absent(err))
		}
		if got != c.want || (err != nil) != (c.err != nil) || !errors.Is(err, c.err) || c.kernel.requests != c.requests {
			t.Errorf("%s: visited %q, error %v, %d requests; want %q, %v, %d", c.name, got, err, c.kernel.requests, c.want, c.err, c.requests)
		}
	}
}

func TestAListThatCannotBeForgottenIsAskedForOnce(t *testing.T) {
	k := fakeKernel{answers: []any{netlinkMessage(netlinkDone, netlinkInterrupted)}}
	if err := (NetlinkDump{}).ask(&k); !errors.Is(err, ErrNetlinkChanged) || k.requests != 1 {
		t.Errorf("%v after %d requests", err, k.requests)
	}
}

func TestBelowARootNoKernelIsAsked(t *testing.T) {
	if _, err := RootHost(t.TempDir()).Netlink(0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestNetlinkAttributes(t *testing.T) {
	f := func(in []byte, want string, ok bool) {
		t.Helper()
		got := ""
		err := NetlinkAttributes(in, func(kind uint16, value []byte) { got += fmt.Sprintf("%d=%x ", kind, value) })
		if got != want || (err == nil) != ok {
			t.Errorf("%x: %q, %v; want %q", in, got, err, want)
		}
	}
	f(nil, "", true)
	f([]byte{5, 0, 1, 0, 7, 0, 0, 0, 4, 0, 2, 0x80}, "1=07 2= ", true)
	f([]byte{5, 0, 1, 0, 7}, "1=07 ", true) // the last is not filled up
	f([]byte{4, 0, 1, 0, 9, 0, 2, 0, 7}, "1= ", false)
	f([]byte{3, 0, 1, 0}, "", false)
}

func FuzzNetlink(f *testing.F) {
	f.Add(slices.Concat(netlinkMessage(20, 2, 4, 0, 1, 0), netlinkMessage(netlinkDone, 0, 0, 0, 0, 0)))
	f.Add(netlinkMessage(netlinkError, 0, errno(syscall.EPERM)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		visited := 0
		netlinkMessages(b, func(_ uint16, body []byte) error { //nolint:errcheck // it must not panic, and end
			visited++
			return NetlinkAttributes(body, func(uint16, []byte) {})
		})
		if visited*NetlinkHeader > len(b) {
			t.Errorf("%d messages in %d bytes", visited, len(b))
		}
	})
}
