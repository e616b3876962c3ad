package probe

import (
	"context"
	"io/fs"
	"time"
)

// Host is a probe's only way to the machine: its files, its programs, its clock.
// A host is live, or it is a folder that holds the files of some other machine;
// then every path goes through that folder, no program runs and nothing asks the
// live machine.
type Host struct {
	root string // "" for the live machine
	now  func() time.Time
	// maxBytes bounds one ReadFile.
	maxBytes int64
}

// LiveHost is the machine this program runs on.
func LiveHost() *Host { return &Host{now: time.Now, maxBytes: defaultMaxBytes} }

// RootHost is the machine whose files lie below dir.
func RootHost(dir string) *Host { return &Host{root: dir, now: time.Now, maxBytes: defaultMaxBytes} }

// defaultMaxBytes bounds a file that a probe reads whole: dpkg status files of
// large systems have 10 MB.
const defaultMaxBytes = 64 << 20

// Live reports whether system calls about the machine may be made.
func (h *Host) Live() bool { panic("to be written") }

// Now is the host's clock.
func (h *Host) Now() time.Time { return h.now() }

// Path returns where the absolute path lies on this machine: below the root, with
// symbolic links resolved inside it.
func (h *Host) Path(path string) (string, error) { panic("to be written") }

// ReadFile reads a whole file, up to the probe's MaxBytes: a larger file is an
// error, as is anything but a regular file (pipes, devices).
func (h *Host) ReadFile(path string) ([]byte, error) { panic("to be written") }

// ReadString reads a small file such as those of /sys, without surrounding blanks;
// "" when it cannot be read.
func (h *Host) ReadString(path string) string { panic("to be written") }

// ReadDir lists a folder, sorted by name.
func (h *Host) ReadDir(path string) ([]fs.DirEntry, error) { panic("to be written") }

// Stat follows links inside the root.
func (h *Host) Stat(path string) (fs.FileInfo, error) { panic("to be written") }

// Readlink returns the target of a symbolic link as it is written there.
func (h *Host) Readlink(path string) (string, error) { panic("to be written") }

// Glob expands a pattern of package path/filepath to paths as the host sees them.
func (h *Host) Glob(pattern string) ([]string, error) { panic("to be written") }

// File is a file that stays open between readings, for the small files of /proc and
// /sys that are read at every tick. It opens at the first reading and again after
// an error.
type File struct{ path string }

// File returns a kept file; nothing is opened yet.
func (h *Host) File(path string) *File { return &File{path: path} }

// Read reads the whole file from its start into buf, which grows if need be, and
// returns the filled part. The result is valid until the next use of buf.
func (f *File) Read(buf []byte) ([]byte, error) { panic("to be written") }

// Run runs a program and returns what it printed. The path is absolute, the
// arguments are fixed, the environment is LC_ALL=C and nothing else; the program
// gets its own process group, which is killed at the deadline of ctx; output beyond
// the limit is an error. On a RootHost it returns errors.ErrUnsupported.
func (h *Host) Run(ctx context.Context, program string, args ...string) ([]byte, error) {
	panic("to be written")
}

// Context prepares ctx for gopsutil, so that it reads this host's files.
func (h *Host) Context(ctx context.Context) context.Context { panic("to be written") }
