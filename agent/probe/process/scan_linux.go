package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

// reader walks /proc. Its buffers live as long as it does.
type reader struct {
	entries []byte   // of the folder
	stat    []byte   // of one process
	path    [24]byte // "4194304/stat" and a zero
}

const (
	direntRoom = 32 << 10
	// statRoom holds any stat file: 52 numbers of at most 20 digits, and a name.
	statRoom = 2 << 10
	// direntName is where the name begins in a linux_dirent64: getdents(2).
	direntName = 19
)

// each calls see with the number of each process and its stat file, which is valid
// during the call. Processes that end meanwhile are passed over. It returns how many
// could not be read for want of rights.
func (x *reader) each(ctx context.Context, h *probe.Host, see func(pid int32, b []byte)) (denied int, err error) {
	dir, err := h.Path("/proc")
	if err != nil {
		return 0, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	if x.entries == nil {
		x.entries, x.stat = make([]byte, direntRoom), make([]byte, statRoom)
	}
	for {
		n, err := unix.ReadDirent(fd, x.entries)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return denied, fmt.Errorf("list %q: %w", dir, err)
		}
		if n <= 0 {
			return denied, nil
		}
		h.Charge(n)
		for rest := x.entries[:n]; len(rest) > direntName; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size <= direntName || size > len(rest) {
				break
			}
			if pid, ok := pidOf(rest[direntName:size]); ok {
				switch b, err := x.read(fd, pid); {
				case err == nil:
					h.Charge(len(b))
					see(pid, b)
				case errors.Is(err, fs.ErrPermission):
					denied++
				}
			}
			rest = rest[size:]
		}
		if ctx.Err() != nil {
			return denied, ctx.Err()
		}
	}
}

// pidOf reads the zero-terminated name of a folder that is a number.
func pidOf(name []byte) (int32, bool) {
	var pid int32
	for i, c := range name {
		if c == 0 {
			return pid, i > 0
		}
		if c < '0' || c > '9' || i >= 9 {
			return 0, false
		}
		pid = pid*10 + int32(c-'0')
	}
	return 0, false
}

// read reads the stat file of one process. It makes the system calls itself, since
// package unix copies the path for each.
func (x *reader) read(dir int, pid int32) ([]byte, error) {
	path := appendPID(x.path[:0], pid)
	path = append(path, "/stat\x00"...)
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), flags, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	n, _, errno := unix.Syscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&x.stat[0])), uintptr(len(x.stat)))
	unix.Syscall(unix.SYS_CLOSE, fd, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return x.stat[:n], nil
}

func appendPID(dst []byte, pid int32) []byte {
	var digits [10]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + pid%10)
		if pid /= 10; pid == 0 {
			return append(dst, digits[i:]...)
		}
	}
}

// ownerOf returns the user that a process runs as.
func ownerOf(h *probe.Host, path string) (uint32, bool) {
	p, err := h.Path(path)
	if err != nil {
		return 0, false
	}
	var st unix.Stat_t
	if unix.Stat(p, &st) != nil {
		return 0, false
	}
	return st.Uid, true
}
