package probetest

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Manner is how a file system in user space treats who asks it.
type Manner int

// The manners.
const (
	Answers Manner = iota // tells its size: FuseBlocks blocks of 4,096 bytes
	Deaf                  // does not take requests: who waits can be killed
	Mute                  // takes them and never answers: who waits cannot even be killed
)

// FuseBlocks is the size of a file system that answers.
const FuseBlocks = 1000

// The messages of the FUSE protocol that are needed (include/uapi/linux/fuse.h).
const (
	fuseStatFS = 17
	fuseInit   = 26
	fuseMinor  = 31
)

// Fuse serves a file system in user space until the test ends, or the returned function
// is called, which frees all who wait for it. The file is for MountFuse, in a process
// that may have a mount namespace of its own.
func Fuse(t testing.TB, manner Manner) (dev *os.File, stop func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("/dev/fuse: %v", err)
	}
	dev = os.NewFile(uintptr(fd), "/dev/fuse")
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		serveFuse(fd, manner, end)
	}()
	stop = sync.OnceFunc(func() {
		close(end)
		<-ended
		dev.Close()
	})
	t.Cleanup(stop)
	return dev, stop
}

// MountFuse mounts the file system that is served at the other end of a descriptor.
func MountFuse(fd int, point string) error {
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	return unix.Mount("atalaya-test", point, "fuse.test", unix.MS_NOSUID|unix.MS_NODEV, options)
}

// serveFuse polls: before it is mounted, the device cannot be waited for.
func serveFuse(fd int, manner Manner, end <-chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		select {
		case <-end:
			return
		case <-time.After(time.Millisecond):
		}
		n, err := unix.Read(fd, buf)
		if err != nil || n < 40 {
			continue
		}
		opcode, unique := binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint64(buf[8:])
		switch {
		case opcode == fuseInit:
			body := make([]byte, 64)
			binary.NativeEndian.PutUint32(body, 7)
			binary.NativeEndian.PutUint32(body[4:], fuseMinor)
			binary.NativeEndian.PutUint32(body[20:], 4096) // largest write
			fuseReply(fd, unique, body)
			if manner == Deaf {
				<-end
				return
			}
		case opcode == fuseStatFS && manner == Answers:
			body := make([]byte, 80)
			for i, v := range []uint64{FuseBlocks, 400, 300, 50, 20} {
				binary.NativeEndian.PutUint64(body[8*i:], v)
			}
			binary.NativeEndian.PutUint32(body[40:], 4096)
			binary.NativeEndian.PutUint32(body[48:], 4096)
			fuseReply(fd, unique, body)
		}
	}
}

func fuseReply(fd int, unique uint64, body []byte) {
	msg := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(16+len(body)))
	binary.NativeEndian.PutUint64(msg[8:], unique)
	_, _ = unix.Write(fd, append(msg, body...)) // who asked may be gone
}
