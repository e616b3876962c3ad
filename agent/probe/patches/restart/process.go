package restart

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// describe says what a process is; nil when it has ended.
func describe(h *probe.Host, pid int) *facts.RestartRow {
	dir := "/proc/" + strconv.Itoa(pid)
	name := h.ReadString(dir + "/comm")
	if name == "" {
		return nil
	}
	exe, _ := h.Readlink(dir + "/exe") // not ours to see
	row := &facts.RestartRow{
		Process: strings.ToValidUTF8(name, "\uFFFD"), PID: pid,
		Exe: strings.ToValidUTF8(strings.TrimSuffix(exe, " (deleted)"), "\uFFFD"),
	}
	row.Unit, row.Container = probe.ServiceAndContainer(h.ReadString(dir + "/cgroup"))
	if row.UID = uid(h.ReadString(dir + "/status")); row.UID < 0 {
		return nil
	}
	return row
}

// uid reads the effective user id of proc_pid_status(5), -1 where there is none.
func uid(status string) int {
	_, rest, ok := strings.Cut(status, "\nUid:")
	if f := strings.Fields(rest); ok && len(f) > 1 {
		if n, err := strconv.Atoi(f[1]); err == nil {
			return n
		}
	}
	return -1
}

// owners finds the packages of files in dpkg's lists. Other package systems keep theirs
// in databases that are dear to search.
type owners struct {
	known map[string]string // file: package, "" for none
}

const (
	dpkgInfo = "/var/lib/dpkg/info"
	// maxKnown bounds what is remembered.
	maxKnown = 4096
)

// resolve names the packages of the files that run outside of containers. Only lists
// that were written since the system was started are read: an upgrade writes the list.
func (o *owners) resolve(ctx context.Context, h *probe.Host, rows map[string]*facts.RestartRow) {
	if len(o.known) > maxKnown {
		clear(o.known)
	}
	missing := make(map[string]bool)
	for _, row := range rows {
		for _, file := range row.Files {
			if _, ok := o.known[file]; !ok && row.Container == "" {
				missing[file] = true
			}
		}
	}
	if len(missing) > 0 {
		refused := h.Refusals()
		o.search(ctx, h, missing)
		if h.Refusals() > refused { // it is to be told again, and may be healed
			defer func() {
				for file := range missing {
					delete(o.known, file)
				}
			}()
		}
	}
	for _, row := range rows {
		for _, file := range row.Files {
			if name := o.known[file]; name != "" && row.Container == "" && !slices.Contains(row.Packages, name) {
				row.Packages = append(row.Packages, name)
			}
		}
		slices.Sort(row.Packages)
	}
}

func (o *owners) search(ctx context.Context, h *probe.Host, missing map[string]bool) {
	for file := range missing {
		o.known[file] = ""
	}
	started := bootTime(h)
	entries, _ := h.ReadDir(dpkgInfo) // another package system
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".list")
		if !ok || ctx.Err() != nil {
			continue
		}
		if info, err := e.Info(); err != nil || info.ModTime().Before(started) {
			continue
		}
		data, err := h.ReadFile(path.Join(dpkgInfo, e.Name()))
		if err != nil {
			continue
		}
		name, _, _ = strings.Cut(name, ":")
		for line := range bytes.Lines(data) {
			line = bytes.TrimSuffix(line, []byte{'\n'})
			for _, prefix := range []string{"", "/usr"} { // lists of before /lib became a link
				if file := prefix + string(line); missing[file] {
					o.known[file] = name
				}
			}
		}
	}
}

// bootTime is when the system was started, zero where that is not told.
func bootTime(h *probe.Host) time.Time {
	_, rest, _ := strings.Cut(h.ReadString("/proc/stat"), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
