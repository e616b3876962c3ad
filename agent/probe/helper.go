package probe

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Task is what a helper process does with the path of a question.
type Task func(path string) ([]byte, error)

// The helper reads requests, a line each: a number, the task, the quoted path.
//
//	7 statfs "/proc/1/root/srv"
//
// It answers in any order: the number, the microseconds of CPU time that it has used,
// then the data in base64, or the kind and the quoted text of an error.
//
//	7 5210 + MTAyNCA...
//	8 5333 - denied "permission denied"
const (
	// maxRequest is more than a quoted path of 4,096 bytes takes, four bytes for each.
	maxRequest = 20 << 10
	maxData    = 1 << 20 // what a file of Proxmox VE's cluster may have; health of a disk is 6 KB
	maxReply   = maxData*4/3 + 1024
	// maxTold is how much of the text of an error is told.
	maxTold = 300
)

// errorKinds are the errors that callers tell apart, by their name on the pipe.
var errorKinds = []struct {
	name string
	err  error
}{{"denied", fs.ErrPermission}, {"absent", fs.ErrNotExist}, {"unsupported", errors.ErrUnsupported}}

// ServeHelper is the whole of a helper process: it answers the requests that come on in
// until that ends. A task that hangs keeps the others from nothing; at most maxInFlight
// run at once, and those beyond are refused.
func ServeHelper(in io.Reader, out io.Writer, tasks map[string]Task) error {
	nameProcess()
	var mu sync.Mutex // guards out
	room := make(chan struct{}, maxInFlight)
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxRequest)
	for lines.Scan() {
		id, q, ok := parseRequest(lines.Bytes())
		if !ok {
			return fmt.Errorf("request: %w", NotUnderstood(lines.Bytes()))
		}
		answer := func(data []byte, err error) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = out.Write(appendReply(nil, reply{request: id, cpu: processCPU(), data: data, err: err})) // whoever does not listen kills us
		}
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { <-room }()
				answer(run(tasks[q.Task], q.Path))
			}()
		default:
			answer(nil, errors.New("too many requests at once"))
		}
	}
	return lines.Err()
}

// run does a task; a panic is an error like any other.
func run(t Task, path string) (data []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			data, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	if t == nil {
		return nil, fmt.Errorf("unknown task: %w", errors.ErrUnsupported)
	}
	if data, err = t(path); len(data) > maxData {
		return nil, fmt.Errorf("answer of %d bytes is larger than the limit of %d", len(data), maxData)
	}
	return data, err
}

func appendRequest(dst []byte, id uint64, q Question) []byte {
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(append(append(dst, ' '), q.Task...), ' ')
	return append(strconv.AppendQuote(dst, q.Path), '\n')
}

func parseRequest(line []byte) (id uint64, q Question, ok bool) {
	number, rest := NextField(line)
	task, rest := NextField(rest)
	id, ok = ParseUint(number)
	if !ok || id == 0 || len(task) == 0 || len(rest) == 0 {
		return 0, Question{}, false
	}
	path, err := strconv.Unquote(string(rest[1:]))
	return id, Question{Task: string(task), Path: path}, err == nil
}

// reply is one answer on the pipe.
type reply struct {
	request uint64
	cpu     time.Duration // of the helper so far
	data    []byte
	err     error
}

func appendReply(dst []byte, r reply) []byte {
	dst = strconv.AppendUint(dst, r.request, 10)
	dst = strconv.AppendInt(append(dst, ' '), r.cpu.Microseconds(), 10)
	if r.err == nil {
		dst = base64.StdEncoding.AppendEncode(append(dst, " + "...), r.data)
		return append(dst, '\n')
	}
	dst = append(append(append(dst, " - "...), kindOf(r.err)...), ' ')
	text := r.err.Error()
	text = strings.ToValidUTF8(text[:min(len(text), maxTold)], "")
	return append(strconv.AppendQuote(dst, text), '\n')
}

func kindOf(err error) string {
	for _, k := range errorKinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return "failed"
}

func parseReply(line []byte) (reply, bool) {
	number, rest := NextField(line)
	cpu, rest := NextField(rest)
	sign, rest := NextField(rest)
	var r reply
	var ok, timed bool
	r.request, ok = ParseUint(number)
	micros, timed := ParseUint(cpu)
	if !ok || !timed || micros > 1<<50 {
		return reply{}, false
	}
	r.cpu = time.Duration(micros) * time.Microsecond
	switch string(sign) {
	case "+":
		data, _ := NextField(rest)
		if len(data) > maxReply {
			return reply{}, false
		}
		var err error
		r.data, err = base64.StdEncoding.AppendDecode([]byte{}, data)
		return r, err == nil
	case "-":
		kind, rest := NextField(rest)
		if len(rest) == 0 {
			return reply{}, false
		}
		text, err := strconv.Unquote(string(rest[1:]))
		r.err = helperError{text: text, kind: string(kind)}
		return r, err == nil
	}
	return reply{}, false
}

// helperError is an error that another process had.
type helperError struct{ text, kind string }

func (e helperError) Error() string { return e.text }

// Is makes errors.Is tell the kinds that the helper told.
func (e helperError) Is(target error) bool {
	for _, k := range errorKinds {
		if k.name == e.kind {
			return k.err == target
		}
	}
	return false
}
