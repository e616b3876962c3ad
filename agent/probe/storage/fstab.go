package storage

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// FstabEntry is a line of fstab(5).
type FstabEntry struct {
	Source  string `json:"source"`
	Target  string `json:"target"` // "none" for swap
	Type    string `json:"type"`
	Options string `json:"options"` // secrets masked
	Dump    int    `json:"dump"`
	Pass    int    `json:"pass"`
}

// ParseFstab reads fstab(5). The last three fields may be missing.
func ParseFstab(b []byte) ([]FstabEntry, error) {
	entries := []FstabEntry{}
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		f := strings.Fields(strings.ToValidUTF8(string(line), "\uFFFD"))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 3 {
			bad = line
			continue
		}
		e := FstabEntry{Source: maskSource(probe.Unescape(f[0])), Target: probe.Unescape(f[1]), Type: f[2], Options: "defaults"}
		if len(f) > 3 {
			e.Options = mask(f[3])
		}
		for i, field := range []*int{&e.Dump, &e.Pass} {
			if len(f) > 4+i {
				*field, _ = strconv.Atoi(f[4+i]) // a word means 0 there
			}
		}
		entries = append(entries, e)
	}
	return entries, probe.BadLine(bad)
}

// mask keeps options but for the values of secrets.
func mask(options string) string {
	list := strings.Split(options, ",")
	for i, o := range list {
		list[i] = maskOption(o)
	}
	return strings.Join(list, ",")
}

// SwapEntry is a line of /proc/swaps.
type SwapEntry struct {
	Name      string `json:"name"`
	Type      string `json:"type"` // partition, file
	SizeBytes int64  `json:"size_bytes"`
	UsedBytes int64  `json:"used_bytes"`
	Priority  int    `json:"priority"`
}

// ParseSwaps reads /proc/swaps (proc_swaps(5)).
//
//	Filename    Type       Size     Used  Priority
//	/dev/sda2   partition  1046524  0     -2
func ParseSwaps(b []byte) ([]SwapEntry, error) {
	entries := []SwapEntry{}
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		f := strings.Fields(strings.ToValidUTF8(string(line), "\uFFFD"))
		if len(f) == 0 || f[0] == "Filename" {
			continue
		}
		if len(f) < 5 {
			bad = line
			continue
		}
		f = append(f[:1], f[len(f)-4:]...) // old kernels write "(deleted)" as a word of its own
		size, used := kilobytes(f[2]), kilobytes(f[3])
		priority, err := strconv.Atoi(f[4])
		if size <= 0 || err != nil {
			bad = line
			continue
		}
		entries = append(entries, SwapEntry{Name: probe.Unescape(f[0]), Type: f[1], SizeBytes: size, UsedBytes: used, Priority: priority})
	}
	return entries, probe.BadLine(bad)
}

func (s *survey) swaps() {
	b, err := s.host.ReadFile("/proc/swaps")
	var entries []SwapEntry
	if err == nil {
		entries, err = ParseSwaps(b)
	}
	if err != nil {
		s.report.Problem(facts.Swaps, absent(err, "no /proc/swaps on this machine"))
	}
	for _, e := range entries {
		row := &facts.SwapRow{Name: e.Name, Type: e.Type, SizeBytes: e.SizeBytes, Priority: e.Priority}
		if strings.HasPrefix(e.Name, "/dev/zram") {
			row.Type = "zram"
		}
		s.report.Add(facts.Swaps, row)
	}
}

// readFstab reads what is to be mounted; none is no problem.
func (s *survey) readFstab() {
	b, err := s.host.ReadFile("/etc/fstab")
	if err == nil {
		if s.fstab, err = ParseFstab(b); err == nil {
			err = probe.Intact(b)
		}
	}
	if err != nil && !gone(err) {
		s.report.Problem(facts.Mounts, fmt.Errorf("/etc/fstab: %w", err))
	}
}

// mounts adds the mount points of the kernel and those of fstab that are not mounted.
func (s *survey) mounts(problem error) {
	s.report.Problem(facts.Mounts, problem)
	listed := make(map[string]bool, len(s.fstab))
	for _, e := range s.fstab {
		listed[path.Clean(e.Target)] = true
	}
	mounted := make(map[string]bool, len(s.table.mounts))
	for _, m := range s.table.mounts {
		mounted[m.point] = mounted[m.point] || m.kind != "autofs"
		if hasPrefix(m.point+"/", fleeting[2:]) || strings.HasPrefix(m.point, "/proc/sys/fs/binfmt_misc") {
			continue
		}
		row := &facts.MountRow{Target: m.point, Source: deviceName(s.host, m), Type: m.kind, Options: m.options, Mounted: new(true), InFstab: listed[m.point]}
		if m.root != "/" {
			row.Root = m.root
		}
		s.report.Add(facts.Mounts, row)
	}
	var no *bool // without the kernel's table nobody knows
	if problem == nil {
		no = new(false)
	} else if !errors.Is(problem, errors.ErrUnsupported) {
		return
	}
	for _, e := range s.fstab {
		if point := path.Clean(e.Target); strings.HasPrefix(point, "/") && !mounted[point] {
			s.report.Add(facts.Mounts, &facts.MountRow{Target: point, Source: e.Source, Type: e.Type, Options: e.Options, Mounted: no, InFstab: true})
		}
	}
}
