package store

import (
	"strconv"
	"time"
)

// plain decodes a host's record of plain strings and whole numbers, as most are, in a
// third of the time of encoding/json: the records of a whole fleet are read four times a
// minute. False: rec is half filled, encoding/json must decode it.
func (rec *hostRecord) plain(v []byte) bool {
	for sep := byte('{'); ; sep = ',' {
		name, value, quoted, rest, ok := plainField(v, sep)
		if !ok || !rec.set(name, value, quoted) {
			return false
		}
		if v = rest; string(v) == "}" {
			return true
		}
	}
}

// set sets a field by its name in the record.
func (rec *hostRecord) set(name, value []byte, quoted bool) bool {
	switch string(name) {
	case "index":
		return plainNumber(&rec.Index, 32, value, quoted)
	case "loss_batches":
		return plainNumber(&rec.LossBatches, 64, value, quoted)
	case "clock_offset":
		return plainDuration(&rec.ClockOffset, value, quoted)
	case "interval":
		return plainDuration(&rec.Interval, value, quoted)
	case "name":
		rec.Name = string(value)
	case "os":
		rec.OS = string(value)
	case "arch":
		rec.Arch = string(value)
	case "agent_version":
		rec.AgentVersion = string(value)
	case "machine_id":
		rec.MachineID = string(value)
	case "enrolled_at":
		return quoted && rec.EnrolledAt.UnmarshalText(value) == nil
	case "first_at":
		return quoted && rec.FirstAt.UnmarshalText(value) == nil
	default:
		return false
	}
	return quoted
}

// plainField takes the next field of an object, which begins with sep.
func plainField(b []byte, sep byte) (name, value []byte, quoted bool, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != sep {
		return nil, nil, false, nil, false
	}
	name, rest, ok = plainString(b[1:])
	if !ok || len(rest) < 2 || rest[0] != ':' {
		return nil, nil, false, nil, false
	}
	if rest = rest[1:]; rest[0] == '"' {
		value, rest, ok = plainString(rest)
		return name, value, true, rest, ok
	}
	n := 0
	for n < len(rest) && (rest[n] == '-' || '0' <= rest[n] && rest[n] <= '9') {
		n++
	}
	return name, rest[:n], false, rest[n:], true
}

// plainString takes a string of printable ASCII without escapes.
func plainString(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c == '"':
			return b[1 : i+1], b[i+2:], true
		case c == '\\' || c < ' ' || c > '~':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// plainNumber and plainDuration take numbers as encoding/json writes them.
func plainNumber[T uint32 | uint64](dst *T, bits int, value []byte, quoted bool) bool {
	n, err := strconv.ParseUint(string(value), 10, bits)
	*dst = T(n)
	return err == nil && !quoted && (value[0] != '0' || len(value) == 1)
}

func plainDuration(dst *time.Duration, value []byte, quoted bool) bool {
	n, err := strconv.ParseInt(string(value), 10, 64)
	*dst = time.Duration(n)
	return err == nil && !quoted && n != 0 && value[0] != '0' && (value[0] != '-' || value[1] != '0')
}
