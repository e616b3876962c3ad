package storage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// ParseMDStat reads /proc/mdstat (md(4)): an array begins at the start of a line, the
// lines that belong to it are indented.
//
//	md0 : active raid1 sdb1[1](F) sda1[0]
//	      1047552 blocks super 1.2 [2/1] [U_]
//	      [=>...]  recovery =  8.5% (89472/1047552) finish=0.1min speed=89472K/sec
func ParseMDStat(b []byte) ([]facts.Row, error) {
	var rows []facts.Row
	var row *facts.RAIDArrayRow
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		text := strings.ToValidUTF8(string(line), "\uFFFD")
		name, after, ok := strings.Cut(text, " : ")
		switch {
		case strings.TrimSpace(text) == "":
		case strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t"):
			if row != nil {
				mdDetail(row, strings.Fields(text))
			}
		case strings.HasPrefix(text, "Personalities") || strings.HasPrefix(text, "unused devices") || strings.HasPrefix(text, "read_ahead"):
			row = nil
		case ok && len(strings.Fields(name)) == 1:
			row = mdHead(strings.TrimSpace(name), strings.Fields(after))
			rows = append(rows, row)
		default:
			row, bad = nil, line
		}
	}
	for _, r := range rows {
		judge(r.(*facts.RAIDArrayRow))
	}
	return rows, probe.BadLine(bad)
}

// mdHead reads "active (read-only) raid1 sdb1[1](F) sda1[0]"; what is inactive has no level.
func mdHead(name string, words []string) *facts.RAIDArrayRow {
	row := &facts.RAIDArrayRow{Name: name}
	var members, failed, spare []string
	for i, w := range words {
		member, role, isMember := strings.Cut(w, "[")
		switch {
		case isMember && member != "":
			members = append(members, member)
			if strings.Contains(role, "(F)") {
				failed = append(failed, member)
			} else if strings.Contains(role, "(S)") {
				spare = append(spare, member)
			}
		case w == "inactive" && i == 0:
			row.State = w
		case w == "(read-only)" || w == "(auto-read-only)":
			row.ReadOnly = w == "(read-only)" // the other one ends with the first write
		case w != "active" && !strings.HasPrefix(w, "("):
			row.Level = w
		}
	}
	row.Members, row.Failed, row.Spare = list(members), list(failed), list(spare)
	return row
}

// mdDetail reads a line that follows.
func mdDetail(row *facts.RAIDArrayRow, words []string) {
	for i, w := range words {
		switch {
		case w == "blocks" && i == 1:
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil && n > 0 && n < 1<<50 {
				row.SizeBytes = n * 1024
			}
		case w == "super" && i+1 < len(words):
			row.Metadata = strings.TrimPrefix(words[i+1], "external:")
		case strings.HasPrefix(w, "chunk") && i > 0 && words[0] != "bitmap:":
			row.Chunk = kilobytes(words[i-1])
		case w == "bitmap:" && i == 0:
			row.Bitmap = true
		case strings.HasPrefix(w, "[") && strings.Contains(w, "/"):
			var devices, working int
			if n, err := fmt.Sscanf(w, "[%d/%d]", &devices, &working); n == 2 && err == nil && 0 <= working && devices < 1<<16 {
				row.Devices, row.Working = devices, working
			}
		case slices.Contains(mdActions, strings.SplitN(w, "=", 2)[0]):
			row.Action = strings.SplitN(w, "=", 2)[0]
			if row.Action == "recovery" {
				row.Action = "recover" // as sysfs has it
			}
		}
	}
}

// mdActions are what may be under way; a check that the administrator's cron began is not news.
var mdActions = []string{"recovery", "resync", "reshape"}

// kilobytes reads "64k" and "65536KB".
func kilobytes(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimRight(s, "kKB"), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n * 1024
}

// list joins names, sorted.
func list(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ",")
}

// mdSpareable is how many devices an array of a level can lack.
var mdSpareable = map[string]int{"raid0": 0, "linear": 0, "raid4": 1, "raid5": 1, "raid6": 2}

// judge sets the state of an array from its numbers of devices.
func judge(row *facts.RAIDArrayRow) {
	if row.State == "inactive" {
		return
	}
	if row.Devices == 0 { // levels without redundancy do not say
		members := 0
		if row.Members != "" {
			members = strings.Count(row.Members, ",") + 1
		}
		row.Devices, row.Working = members, members
		if row.Failed != "" {
			row.Working -= strings.Count(row.Failed, ",") + 1
		}
	}
	lacking := row.Devices - row.Working
	can, known := mdSpareable[row.Level]
	switch {
	case lacking <= 0:
		row.State = "clean"
	case known && lacking > can || row.Working == 0:
		row.State = "failed"
	default:
		row.State = "degraded"
	}
}

// raid adds the arrays of /proc/mdstat, with what sysfs and udev know beyond.
func (s *survey) raid() {
	b, err := s.host.ReadFile("/proc/mdstat")
	if gone(err) {
		return // no such driver: no arrays
	}
	var rows []facts.Row
	if err == nil {
		rows, err = ParseMDStat(b)
	}
	if err != nil {
		s.report.Problem(facts.RAIDArrays, fmt.Errorf("/proc/mdstat: %w", err))
	}
	for _, r := range rows {
		row := r.(*facts.RAIDArrayRow)
		dir := blockFolder + "/" + row.Name + "/md/"
		if state := s.host.ReadString(dir + "array_state"); state == "broken" {
			row.State = "failed"
		}
		if uuid := s.host.ReadString(dir + "uuid"); strings.ContainsAny(uuid, "123456789abcdef") {
			row.UUID = uuid
		}
		set(&row.UUID, s.udev(row.Name)["MD_UUID"])
		if n, err := strconv.ParseInt(s.host.ReadString(dir+"chunk_size"), 10, 64); err == nil && row.Chunk == 0 && n > 0 {
			row.Chunk = n
		}
		if action := s.host.ReadString(dir + "sync_action"); action == "frozen" || row.Action == "" && action == "reshape" {
			row.Action = action
		}
		s.report.Add(facts.RAIDArrays, row)
	}
}
