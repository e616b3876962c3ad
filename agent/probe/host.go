package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v3/common"

	"atalaya/shared/facts"
)

// Host is a probe's only way to the machine: its files, its programs, its clock.
// A host is live, or it is a folder that holds the files of some other machine;
// then every path goes through that folder, no program runs and nothing asks the
// live machine. A Host is safe for concurrent use.
type Host struct {
	root string // "" for the live machine
	now  func() time.Time
	// maxBytes bounds one ReadFile.
	maxBytes int64
	// maxEntries bounds one ReadDir.
	maxEntries int
	// bytes counts what was read of files, for the cost ledger.
	bytes *atomic.Int64
	// childCPU is the CPU time of the helper processes, in nanoseconds.
	childCPU *atomic.Int64
	// scratch holds buffers of ReadString.
	scratch *sync.Pool
	// refused are what the present run was refused, for the sections about.
	refused *refusals
	about   facts.ID // 0: whichever
	// within is where the root lies as the machine around it sees it, "" if there is none.
	within string
	// layers are those of a container, the topmost first; nil if there is one root.
	layers []string
	// asker answers questions that may hang; nil: nobody does.
	asker *asker
	// once says that no later reading will see the answers that this one does not wait for.
	once bool
}

// defaultMaxBytes bounds a file that a probe reads whole: dpkg status files of
// large systems have 10 MB.
const defaultMaxBytes = 64 << 20

// defaultMaxEntries bounds what is listed of a folder, in which anybody may have made a
// million files: 120 bytes each.
const defaultMaxEntries = 100_000

// maxLinks is the number of symbolic links after which a path counts as a loop; the
// kernel gives up after 40 (path_resolution(7)).
const maxLinks = 40

// LiveHost is the machine this program runs on.
func LiveHost() *Host {
	return &Host{now: time.Now, maxBytes: defaultMaxBytes, maxEntries: defaultMaxEntries, bytes: new(atomic.Int64), childCPU: new(atomic.Int64), refused: new(refusals), scratch: new(sync.Pool)}
}

// RootHost is the machine whose files lie below dir. They may be hostile: whatever changes
// meanwhile, the kernel opens nothing that lies elsewhere (Linux 5.6).
func RootHost(dir string) *Host {
	h := LiveHost()
	h.root = filepath.Clean(dir)
	return h
}

// maxWithin bounds a file that is read whole inside of a container. The list of files of
// texlive-fonts-extra has 5 MB, those of kernels 2 MB.
const maxWithin = 8 << 20

// Within is the machine whose files lie below a folder of this one: a container's root. It
// is a RootHost whose paths are told as this machine sees them.
func (h *Host) Within(dir string) (*Host, error) {
	p, err := h.Path(dir)
	if err != nil {
		return nil, err
	}
	own := *h
	own.root, own.within = p, path.Join(h.within, dir)
	own.maxBytes = min(own.maxBytes, maxWithin)
	return &own, nil
}

// For is the same machine for the files that one section of a probe rests on: what could
// not be read of them, although it is there, makes that section partial at least, whether
// the probe looks at errors or not.
func (h *Host) For(section facts.ID) *Host {
	own := *h
	own.about = section
	return &own
}

// forProbe returns a host with the limits of one probe and a byte counter of its own.
func (h *Host) forProbe(info Info) *Host {
	own := *h
	own.bytes, own.childCPU, own.refused = new(atomic.Int64), new(atomic.Int64), new(refusals)
	if info.MaxBytes > 0 {
		own.maxBytes = info.MaxBytes
	}
	return &own
}

// Live reports whether system calls about the machine may be made.
func (h *Host) Live() bool { return h.root == "" }

// Now is the host's clock.
func (h *Host) Now() time.Time { return h.now() }

// Path returns where the absolute path lies on this machine: below the root, with
// symbolic links resolved inside it, so that neither ".." nor an absolute link leads
// out. What does not exist is joined as it is written. On the live machine the path
// is returned unchanged.
func (h *Host) Path(name string) (string, error) {
	if h.Live() {
		if !filepath.IsAbs(name) {
			return "", fmt.Errorf("path %q is not absolute", name)
		}
		return name, nil
	}
	return h.resolve(name, true)
}

// resolve follows the links of every part of name inside the root, those of the last
// part only if followLast is set.
func (h *Host) resolve(name string, followLast bool) (string, error) {
	name, err := h.follow(name, followLast)
	if err != nil {
		return "", err
	}
	return h.join(name), nil
}

// follow is resolve to a path as the host sees it.
func (h *Host) follow(name string, followLast bool) (string, error) {
	if !path.IsAbs(filepath.ToSlash(name)) {
		return "", fmt.Errorf("path %q is not absolute", name)
	}
	done, rest := "/", filepath.ToSlash(name) // done has no links and begins with a slash
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if part == "" || part == "." {
			continue
		}
		next := path.Join(done, part) // "/.." is "/"
		if part == ".." || (!followLast && strings.Trim(rest, "/") == "") {
			done = next
			continue
		}
		target, err := os.Readlink(h.join(next))
		if err != nil { // no link, or it does not exist: the caller's open says so
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "follow", Path: name, Err: errLoop}
		}
		target = filepath.ToSlash(target)
		if path.IsAbs(target) {
			done = "/"
		}
		rest = target + "/" + rest
	}
	return done, nil
}

// ReadFile reads a whole file, up to the probe's MaxBytes: a larger file is an
// error, as is anything but a regular file (pipes, devices). One of nothing but NUL bytes,
// as crashes leave them, is ErrNUL: to a parser it would look empty.
func (h *Host) ReadFile(name string) ([]byte, error) {
	b, err := h.read(name, nil)
	if err == nil {
		err = h.intact(name, b)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// intact is ErrNUL for a file of nothing else and ErrEmpty for one that should have
// something in it, and remembers one whose tail was not written.
func (h *Host) intact(name string, b []byte) error {
	if len(b) == 0 && neverEmpty[name] {
		return h.note("read", name, ErrEmpty)
	}
	zeros := len(b) - len(bytes.TrimRight(b, "\x00"))
	if zeros <= longestZero {
		return nil
	}
	if zeros == len(b) {
		return h.note("read", name, ErrNUL)
	}
	if !ofKernel(name) { // which pads some of its files
		_ = h.note("read", name, ErrNUL) // what stands before it is good
	}
	return nil
}

// longestZero is the longest file that means something and is all zeros, in bytes: a
// number of the device tree.
const longestZero = 8

// read is ReadFile into buf, or into more room if that does not suffice.
func (h *Host) read(name string, buf []byte) ([]byte, error) {
	f, size, err := h.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > h.maxBytes {
		return nil, h.tooLarge(name)
	}
	// Files of /proc say that they are empty, those of /sys that they have a page:
	// the size is only a first guess.
	if cap(buf) == 0 {
		buf = make([]byte, 0, max(size+1, 512))
	}
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		h.bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, h.note("read", name, err)
		}
		if int64(len(buf)) > h.maxBytes {
			return nil, h.tooLarge(name)
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
	}
}

func (h *Host) tooLarge(name string) error {
	return h.note("read", name, fmt.Errorf("larger than the limit of %d bytes", h.maxBytes))
}

// open opens a regular file without waiting for the writer of a pipe.
func (h *Host) open(name string) (*os.File, int64, error) {
	p, err := h.Path(name)
	if err != nil {
		return nil, 0, h.note("open", name, err)
	}
	var f *os.File
	if h.Live() {
		f, err = openFile(p)
	} else {
		f, err = openBeneath(h.layerOf(p), p, toRead)
	}
	if err != nil {
		return nil, 0, h.note("open", name, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Mode()&fs.ModeCharDevice != 0:
		err = errDevice
	case isPipe(info.Mode()):
		err = errPipe
	case !info.Mode().IsRegular():
		err = errNoFile
	}
	if err != nil {
		f.Close() // read only: nothing can be lost
		return nil, 0, h.note("read", name, err)
	}
	return f, info.Size(), nil
}

// ReadString reads a small file such as those of /sys, without surrounding blanks;
// "" when it cannot be read. That it is there all the same is remembered, see For.
func (h *Host) ReadString(name string) string {
	text, _ := h.readText(name)
	return text
}

// readText is ReadString that says why there is no text. It reads into a buffer that is
// used again: files of /sys say that they have a page, and mostly have a few bytes.
func (h *Host) readText(name string) (string, error) {
	scratch, ok := h.scratch.Get().(*[]byte)
	if !ok {
		room := make([]byte, 0, 4<<10) // files of /sys have up to a page
		scratch = &room
	}
	defer h.scratch.Put(scratch)
	b, err := h.read(name, (*scratch)[:0])
	if err == nil {
		err = h.intact(name, b)
	}
	if err != nil {
		return "", err
	}
	return string(bytes.Trim(b, " \t\r\n\x00")), nil
}

// ReadDir lists a folder, sorted by name; of one with more than defaultMaxEntries a part.
// What could be read before an error is returned with it.
func (h *Host) ReadDir(name string) ([]fs.DirEntry, error) {
	if h.layers != nil {
		entries, err := h.merged(name)
		return entries, h.note("open", name, err)
	}
	p, err := h.Path(name)
	if err != nil {
		return nil, h.note("open", name, err)
	}
	entries, err := h.readDir(p)
	return entries, h.note("open", name, err)
}

// Stat follows links inside the root. That there is a pipe is remembered, see For: no probe
// asks for one.
func (h *Host) Stat(name string) (fs.FileInfo, error) {
	p, err := h.Path(name)
	if err != nil {
		return nil, h.note("stat", name, err)
	}
	var info fs.FileInfo
	if h.Live() {
		info, err = os.Stat(p)
	} else {
		info, err = h.lstat(p) // no link is left, but for one that has just been made
	}
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		_ = h.note("stat", name, errPipe)
	}
	return info, h.note("stat", name, err)
}

// Readlink returns the target of a symbolic link as it is written there.
func (h *Host) Readlink(name string) (string, error) {
	target, err := h.readlink(name)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTDIR) {
		_ = h.note("readlink", name, err) // no link: is it a pipe?
	}
	return target, err
}

func (h *Host) readlink(name string) (string, error) {
	if h.Live() {
		return os.Readlink(name)
	}
	p, err := h.resolve(name, false)
	if err != nil {
		return "", err
	}
	return linkBeneath(h.layerOf(p), p)
}

// lstat looks at a place that was resolved.
func (h *Host) lstat(p string) (fs.FileInfo, error) {
	if h.Live() {
		return os.Lstat(p)
	}
	return lookBeneath(h.layerOf(p), p)
}

// Glob expands a pattern of package path/filepath to paths as the host sees them,
// sorted. The only error is a malformed pattern: what cannot be read does not match.
func (h *Host) Glob(pattern string) ([]string, error) {
	if h.Live() {
		found, err := h.glob(pattern)
		if len(found) == 0 {
			top := pattern[:strings.IndexAny(pattern+"*", `*?[\`)] // up to which nothing is a pattern
			if _, err := os.Lstat(top); errors.Is(err, syscall.ENOTDIR) {
				_ = h.note("open", top, err)
			}
		}
		return found, err
	}
	if _, err := path.Match(pattern, "x"); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, filepath.ErrBadPattern)
	}
	found := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(filepath.ToSlash(pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			next = append(next, h.children(dir, part)...)
			if len(next) > h.maxEntries {
				_ = h.note("match", pattern, errMany)
				break
			}
		}
		found = next
	}
	return found, nil
}

// glob is filepath.Glob of this machine with a limit, of clean paths: in a folder of their own anybody may
// make a million files.
func (h *Host) glob(pattern string) ([]string, error) {
	if filepath.Separator != '/' {
		return filepath.Glob(pattern)
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, err
	}
	found, rest := []string{""}, ""
	for part := range strings.SplitSeq(strings.TrimPrefix(pattern, "/"), "/") {
		rest += "/" + part
		if !strings.ContainsAny(part, `*?[\`) {
			continue
		}
		dir := path.Dir(rest)
		var next []string
		for _, top := range found {
			entries, err := h.readDir(top + dir) // not a folder, or not readable: no match
			for _, e := range entries {
				if ok, _ := path.Match(part, e.Name()); ok {
					next = append(next, path.Join(top+dir, e.Name()))
				}
			}
			if errors.Is(err, errMany) || len(next) > h.maxEntries {
				_ = h.note("match", pattern, errMany)
				break
			}
		}
		found, rest = next, ""
	}
	if rest == "" {
		return found, nil
	}
	var there []string
	for _, top := range found {
		if _, err := os.Lstat(top + rest); err == nil {
			there = append(there, path.Join(top, rest))
		}
	}
	return there, nil
}

// children returns the paths below dir whose name matches the pattern.
func (h *Host) children(dir, pattern string) []string {
	if !strings.ContainsAny(pattern, `*?[\`) {
		p, err := h.resolve(path.Join(dir, pattern), false)
		if err != nil {
			return nil
		}
		if _, err := h.lstat(p); err != nil {
			if errors.Is(err, syscall.ENOTDIR) {
				_ = h.note("open", path.Join(dir, pattern), err)
			}
			return nil
		}
		return []string{path.Join(dir, pattern)}
	}
	entries, _ := h.ReadDir(dir) // not a folder, or not readable: no match
	var out []string
	for _, e := range entries {
		if ok, _ := path.Match(pattern, e.Name()); ok {
			out = append(out, path.Join(dir, e.Name()))
		}
	}
	return out
}

// Context prepares ctx for gopsutil, so that it reads this host's files.
func (h *Host) Context(ctx context.Context) context.Context {
	if h.Live() {
		return ctx
	}
	env := common.EnvMap{
		common.HostProcEnvKey: h.join("/proc"),
		common.HostSysEnvKey:  h.join("/sys"),
		common.HostEtcEnvKey:  h.join("/etc"),
		common.HostVarEnvKey:  h.join("/var"),
		common.HostRunEnvKey:  h.join("/run"),
		common.HostDevEnvKey:  h.join("/dev"),
		common.HostRootEnvKey: h.root,
	}
	return context.WithValue(ctx, common.EnvKey, env)
}
