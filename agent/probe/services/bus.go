package services

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A minimal client of D-Bus: one call, one answer. The format is that of the D-Bus
// Specification 0.38, "Message Protocol"; numbers are little-endian, as we say first.

// maxMessage bounds an answer: 10,000 units have 3 MB. The bus itself allows 128 MB.
const maxMessage = 16 << 20

var errMessage = errors.New("answer of the message bus not understood")

// The types of messages, and the fields of their headers.
const (
	methodCall, methodReturn, methodError = 1, 2, 3

	fieldPath, fieldInterface, fieldMember, fieldErrorName, fieldReplySerial, fieldDestination, fieldSignature = 1, 2, 3, 4, 5, 6, 8
)

// call is a method call whose arguments are strings, then lists of strings.
type call struct {
	destination, path, interfaceName, member string
	texts                                    []string
	lists                                    [][]string
}

// append encodes the call.
func (c *call) append(dst []byte, serial uint32) []byte {
	var body []byte
	signature := ""
	for _, s := range c.texts {
		signature += "s"
		body = appendString(body, s)
	}
	for _, list := range c.lists {
		signature += "as"
		body = pad(body, 4)
		at := len(body)
		body = append(body, 0, 0, 0, 0)
		for _, s := range list {
			body = appendString(body, s)
		}
		binary.LittleEndian.PutUint32(body[at:], uint32(len(body)-at-4))
	}
	head := []byte{'l', methodCall, 0, 1}
	head = binary.LittleEndian.AppendUint32(head, uint32(len(body)))
	head = binary.LittleEndian.AppendUint32(head, serial)
	head = append(head, 0, 0, 0, 0)
	for _, f := range []struct {
		code  byte
		kind  string
		value string
	}{{fieldPath, "o", c.path}, {fieldInterface, "s", c.interfaceName}, {fieldMember, "s", c.member}, {fieldDestination, "s", c.destination}} {
		head = append(pad(head, 8), f.code, 1, f.kind[0], 0)
		head = appendString(head, f.value)
	}
	if signature != "" {
		head = append(pad(head, 8), fieldSignature, 1, 'g', 0, byte(len(signature)))
		head = append(append(head, signature...), 0)
	}
	binary.LittleEndian.PutUint32(head[12:], uint32(len(head)-16))
	return append(append(dst, pad(head, 8)...), body...)
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(pad(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// message is what comes from the bus.
type message struct {
	kind        byte
	replySerial uint32
	errorName   string
	body        []byte
	order       binary.ByteOrder
}

// headSize is the fixed part of a header, which tells how long the message is.
const headSize = 16

// messageSize is the length of a message with this head; it is checked before room is
// taken for it.
func messageSize(head []byte) (int, binary.ByteOrder, error) {
	if len(head) < headSize {
		return 0, nil, errMessage
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch head[0] {
	case 'l':
	case 'B':
		order = binary.BigEndian
	default:
		return 0, nil, errMessage
	}
	size := headSize + (uint64(order.Uint32(head[12:]))+7)/8*8 + uint64(order.Uint32(head[4:]))
	if size > maxMessage {
		return 0, nil, fmt.Errorf("answer of the message bus is larger than the limit of %d bytes", maxMessage)
	}
	return int(size), order, nil
}

// parseMessage reads one whole message.
func parseMessage(b []byte) (message, error) {
	size, order, err := messageSize(b)
	if err != nil || size != len(b) {
		return message{}, errors.Join(err, errMessage)
	}
	m := message{kind: b[1], order: order}
	end := headSize + int(order.Uint32(b[12:]))
	m.body = b[(end+7)/8*8:]
	r := reader{b: b[:end], at: headSize, order: order}
	for r.at < end && !r.bad {
		r.align(8)
		code := r.byte()
		switch r.signature() {
		case "s", "o":
			if s := r.string(); code == fieldErrorName {
				m.errorName = s
			}
		case "u":
			if n := r.uint32(); code == fieldReplySerial {
				m.replySerial = n
			}
		case "g":
			r.signature()
		default: // no other type stands in the headers that the bus sends
			r.bad = true
		}
	}
	if r.bad {
		return message{}, errMessage
	}
	return m, nil
}

// reader walks through encoded values; bad says that one was not there.
type reader struct {
	b     []byte
	at    int
	order binary.ByteOrder
	bad   bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) align(to int) {
	if n := r.at % to; n != 0 {
		r.take(to - n)
	}
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	r.align(4)
	if b := r.take(4); b != nil {
		return r.order.Uint32(b)
	}
	return 0
}

func (r *reader) string() string {
	n := r.uint32()
	if n > maxMessage {
		r.bad = true
		return ""
	}
	s := r.take(int(n))
	r.take(1) // NUL
	return string(s)
}

func (r *reader) signature() string {
	n := r.byte()
	s := r.take(int(n))
	r.take(1) // NUL
	return string(s)
}

// loaded is a unit that systemd has loaded.
type loaded struct{ load, active, sub string }

// parseUnits reads the answer of ListUnits and ListUnitsByPatterns, a(ssssssouso).
func parseUnits(m message) (map[string]loaded, error) {
	out := make(map[string]loaded)
	r := reader{b: m.body, order: m.order}
	end := int(r.uint32())
	r.align(8)
	if end += r.at; r.bad || end != len(r.b) {
		return nil, errMessage
	}
	for r.at < end && !r.bad {
		r.align(8)
		name := r.string()
		r.string() // description
		u := loaded{r.string(), r.string(), r.string()}
		r.string() // the unit that it follows
		r.string() // its object
		r.uint32() // its job, the job's type and object
		r.string()
		r.string()
		out[name] = u
	}
	if r.bad {
		return nil, errMessage
	}
	return out, nil
}

// The calls that are made.
func helloCall() *call {
	return &call{destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interfaceName: "org.freedesktop.DBus", member: "Hello"}
}

const manager = "org.freedesktop.systemd1.Manager"

func managerCall(interfaceName, member string) *call {
	return &call{destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1", interfaceName: interfaceName, member: member}
}

// systemStateCall asks for the state of the system as a whole.
func systemStateCall() *call {
	c := managerCall("org.freedesktop.DBus.Properties", "Get")
	c.texts = []string{manager, "SystemState"}
	return c
}

// parseText reads a variant that is a string.
func parseText(m message) (string, error) {
	r := reader{b: m.body, order: m.order}
	if r.signature() != "s" {
		return "", errMessage
	}
	s := r.string()
	if r.bad {
		return "", errMessage
	}
	return s, nil
}

// session is a connection to the bus: its beginning is sent with the first call, as
// systemd's own library does.
type session struct {
	conn interface {
		Read([]byte) (int, error)
		Write([]byte) (int, error)
	}
	in     *busReader
	out    []byte // to be sent
	serial uint32
}

func newSession(conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}, uid int) *session {
	s := &session{conn: conn, serial: 1}
	s.out = []byte("\x00AUTH EXTERNAL " + fmt.Sprintf("%x", fmt.Sprint(uid)) + "\r\nBEGIN\r\n")
	s.out = helloCall().append(s.out, s.serial)
	return s
}

// ask makes one call and returns its answer, which may be an error of the other side.
func (s *session) ask(c *call) (message, error) {
	s.serial++
	_, err := s.conn.Write(c.append(s.out, s.serial))
	s.out = s.out[:0]
	if err != nil {
		return message{}, err
	}
	if s.in == nil {
		s.in = &busReader{conn: s.conn}
		if line, err := s.in.line(); err != nil || line[:min(3, len(line))] != "OK " {
			return message{}, errors.Join(errRefused, err)
		}
	}
	for {
		m, err := s.in.message()
		switch {
		case err != nil:
			return m, errors.Join(errRefused, err)
		case m.kind == methodError && (m.replySerial == 1 || m.replySerial == s.serial),
			m.kind == methodReturn && m.replySerial == s.serial:
			return m, nil
		}
	}
}

// failed is the error of an answer that is one.
func (m *message) failed() error {
	if m.kind != methodError {
		return nil
	}
	return fmt.Errorf("systemd answers %.100s", m.errorName)
}

// units asks for the units that match one of the patterns; without patterns, for all.
func (s *session) units(patterns ...string) (map[string]loaded, error) {
	c := managerCall(manager, "ListUnitsByPatterns")
	c.lists = [][]string{nil, patterns}
	m, err := s.ask(c)
	if err == nil && m.kind == methodError && m.errorName == "org.freedesktop.DBus.Error.UnknownMethod" {
		m, err = s.ask(managerCall(manager, "ListUnits")) // systemd before 230: all units
	}
	if err = errors.Join(err, m.failed()); err != nil {
		return nil, err
	}
	return parseUnits(m)
}

// systemState asks whether the system runs, starts, is degraded...
func (s *session) systemState() (string, error) {
	m, err := s.ask(systemStateCall())
	if err = errors.Join(err, m.failed()); err != nil {
		return "", err
	}
	return parseText(m)
}

// errRefused is what becomes of users that dbus-daemon cannot look up: systemd keeps it
// from asking for dynamic users, as it would wait for itself.
var errRefused = errors.New("the message bus refuses the agent's user")

// busReader takes lines and messages off a connection.
type busReader struct {
	conn interface{ Read([]byte) (int, error) }
	buf  []byte
	read int
}

// maxBus bounds all that is read of one connection.
const maxBus = 2 * maxMessage

func (r *busReader) fill(n int) error {
	for len(r.buf) < n {
		if r.read > maxBus {
			return errMessage
		}
		var chunk [16 << 10]byte
		got, err := r.conn.Read(chunk[:])
		r.buf = append(r.buf, chunk[:got]...)
		r.read += got
		if err != nil && len(r.buf) < n {
			return err
		}
	}
	return nil
}

func (r *busReader) line() (string, error) {
	for n := 1; n < 1000; n++ {
		if err := r.fill(n); err != nil {
			return "", err
		}
		if r.buf[n-1] == '\n' {
			line := string(r.buf[:n])
			r.buf = r.buf[n:]
			return line, nil
		}
	}
	return "", errMessage
}

func (r *busReader) message() (message, error) {
	if err := r.fill(headSize); err != nil {
		return message{}, err
	}
	size, _, err := messageSize(r.buf)
	if err == nil {
		err = r.fill(size)
	}
	if err != nil {
		return message{}, err
	}
	m, err := parseMessage(r.buf[:size])
	r.buf = r.buf[size:]
	return m, err
}
