package accounts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"atalaya/shared/facts"
)

// Session is a record of utmp(5), as far as it is of a login.
type Session struct {
	Type string     `json:"type"` // login, boot, dead, ... as in utmp(5)
	User string     `json:"user,omitempty"`
	Line string     `json:"line,omitempty"`
	Host string     `json:"host,omitempty"`
	PID  int        `json:"pid,omitempty"`
	At   facts.Time `json:"at"`
}

// userProcess is the type of a record that begins a session.
const userProcess = "user"

// types are the names of ut_type.
var types = [...]string{"empty", "runlevel", "boot", "new_time", "old_time", "init", "login", userProcess, "dead", "accounting"}

// utmpLayout says where the fields of a record are: 64-bit systems that also run 32-bit
// programs (x86, s390x, ppc64) keep times of 32 bits, the others of 64 (bits/utmp.h).
type utmpLayout struct {
	size, seconds, address int
	wide                   bool
}

var utmpLayouts = []utmpLayout{{384, 340, 348, false}, {400, 344, 360, true}}

const (
	utmpPID, utmpLine, utmpUser, utmpHost = 4, 8, 44, 76
	utmpLineLen, utmpUserLen, utmpHostLen = 32, 32, 256
)

// ParseUtmp reads records of utmp(5), wtmp and btmp have them too. Those that are whole
// stand beside the error that counts the others.
func ParseUtmp(data []byte) ([]Session, error) {
	if len(data) == 0 {
		return nil, nil
	}
	l, order, ok := utmpForm(data)
	if !ok {
		return nil, errors.New("records not understood")
	}
	var out []Session
	var problem error
	bad := 0
	for ; len(data) >= l.size; data = data[l.size:] {
		rec := data[:l.size]
		if !l.holds(rec, order) {
			bad++
			continue
		}
		s := Session{
			Type: types[order.Uint16(rec)],
			User: text(rec[utmpUser : utmpUser+utmpUserLen]),
			Line: text(rec[utmpLine : utmpLine+utmpLineLen]),
			Host: text(rec[utmpHost : utmpHost+utmpHostLen]),
			PID:  int(int32(order.Uint32(rec[utmpPID:]))),
			At:   seconds(rec[l.seconds:], order, l.wide),
		}
		if s.Host == "" {
			s.Host = address(rec[l.address : l.address+16])
		}
		out = append(out, s)
	}
	if bad > 0 {
		problem = fmt.Errorf("%d records not understood", bad)
	}
	if len(data) > 0 {
		problem = errors.Join(problem, fmt.Errorf("cut off: %d bytes behind the last record", len(data)))
	}
	return out, problem
}

// utmpForm finds the layout and byte order in which most records have a known type and a
// time that can be one. Zeros fit all of them.
func utmpForm(data []byte) (form utmpLayout, byteOrder binary.ByteOrder, ok bool) {
	best := 0
	for _, whole := range []bool{true, false} { // a cut record at the end is the second guess
		for _, l := range utmpLayouts {
			if len(data) < l.size || whole != (len(data)%l.size == 0) {
				continue
			}
			for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				if good, bad := l.fits(data, order); bad == 0 && !ok || good-bad > best {
					form, byteOrder, ok, best = l, order, true, good-bad
				}
			}
		}
	}
	return form, byteOrder, ok
}

// fits counts those of the first 100 records that are used, and those that cannot be records.
func (l utmpLayout) fits(data []byte, order binary.ByteOrder) (good, bad int) {
	for n := 0; len(data) >= l.size && n < 100; n++ {
		if !l.holds(data, order) {
			bad++
		} else if order.Uint16(data) != 0 {
			good++
		}
		data = data[l.size:]
	}
	return good, bad
}

// holds reports whether a record has a known type and a time that can be one.
func (l utmpLayout) holds(rec []byte, order binary.ByteOrder) bool {
	kind, at := int(order.Uint16(rec)), seconds(rec[l.seconds:], order, l.wide)
	return kind < len(types) && at <= maxTime && (at != 0 || kind == 0)
}

// maxTime is the year 2106, when the unsigned seconds of 32 bits end.
const maxTime = facts.Time(1<<32) * 1000

func seconds(b []byte, order binary.ByteOrder, wide bool) facts.Time {
	if wide {
		if s := order.Uint64(b); s <= 1<<32 {
			return facts.Time(s) * 1000
		}
		return maxTime + 1
	}
	return facts.Time(order.Uint32(b)) * 1000
}

// text is the string in a field that NUL ends, or its end.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// address is ut_addr_v6: of IPv4 the first four bytes only.
func address(b []byte) string {
	if bytes.Count(b, []byte{0}) == len(b) {
		return ""
	}
	if bytes.Count(b[4:], []byte{0}) == 12 {
		return netip.AddrFrom4([4]byte(b)).String()
	}
	return netip.AddrFrom16([16]byte(b)).Unmap().String()
}

// lastlogSize is the size of a record of lastlog(5) with times of 32 bits; with 64 bits it
// is 4 more.
const lastlogSize = 292

// parseLastlog reads one record; no login has no time.
func parseLastlog(rec []byte) Session {
	wide := len(rec) != lastlogSize
	rest := rec[4:]
	if wide {
		rest = rec[8:]
	}
	at := seconds(rec, binary.LittleEndian, wide)
	if at > maxTime {
		return Session{}
	}
	return Session{Type: userProcess, At: at, Line: text(rest[:32]), Host: text(rest[32 : 32+256])}
}

// shownLogin is one record of lastlog(5); the number of the record is the user's.
type shownLogin struct {
	UID int64 `json:"uid"`
	Session
}

// ParseLastlog reads all of lastlog(5). Records whose terminal is no text are none: any
// bytes have times.
func ParseLastlog(data []byte) (any, error) {
	size := int64(lastlogRecord(int64(len(data))))
	if n := int64(len(data)); n > 0 && n < size {
		return nil, errors.New("shorter than one record")
	}
	out, err := appendLogins([]shownLogin{}, 0, data, size)
	if err == nil && int64(len(data))%size > 0 {
		err = errors.New("cut off in a record")
	}
	return out, err
}

// appendLogins reads the records of a part, of which uid is the first.
func appendLogins(out []shownLogin, uid int64, data []byte, size int64) ([]shownLogin, error) {
	for ; int64(len(data)) >= size; uid, data = uid+1, data[size:] {
		s := parseLastlog(data[:size])
		if s.At == 0 {
			continue
		}
		if strings.ContainsFunc(s.Line+s.Host, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, errors.New("records not understood")
		}
		out = append(out, shownLogin{uid, s})
	}
	return out, nil
}

// maxLastlog bounds what is read of a lastlog: 200,000 users. Holes do not count: a user
// with the number 4,294,967,294 makes the file 1.2 TB long.
const maxLastlog = 64 << 20

// seekData is a whence of lseek(2) on Linux: the next part that has data. A system that does not know them has its file read whole.
const seekData = 3

// parseLastlogFile reads those parts of lastlog(5) that are there.
func parseLastlogFile(f *os.File) (any, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := int64(lastlogRecord(info.Size()))
	out, read := []shownLogin{}, int64(0)
	buf := make([]byte, 256*size)
	for at := int64(0); at+size <= info.Size(); {
		if next, err := f.Seek(at, seekData); err == nil {
			at = max(at, next/size*size)
		} else if errors.Is(err, syscall.ENXIO) { // a hole to the end
			break
		}
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, err
		}
		if out, err = appendLogins(out, at/size, buf[:n], size); err != nil || int64(n) < size {
			return out, err
		}
		at += int64(n) / size * size
		if read += int64(n); read > maxLastlog {
			return out, fmt.Errorf("more than %d bytes are in it", maxLastlog)
		}
	}
	if info.Size()%size > 0 {
		return out, errors.New("cut off in a record")
	}
	return out, nil
}

// lastlogRecord tells the size of records from that of the file.
func lastlogRecord(size int64) int {
	if size%lastlogSize != 0 && size%(lastlogSize+4) == 0 {
		return lastlogSize + 4
	}
	return lastlogSize
}
