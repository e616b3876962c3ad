package volume

import (
	"path"
	"strings"

	"atalaya/agent/probe"
)

// array is one software RAID of /proc/mdstat.
type array struct {
	name, state                    string
	active, spare, failed, members float64 // disks
	required                       float64
	counted                        bool    // the kernel said how many are required and active
	blocks, synced                 float64 // of 1 KiB
	sized                          bool
}

// mdStates are the states that an array can be reported in.
var mdStates = [...]string{"active", "inactive", "recovering", "resync", "check"}

// collectMD reads /proc/mdstat, and from /sys how many disks an array should have and
// lacks.
func collectMD(g *probe.Gathering) error {
	var a *array
	for _, line := range lines(g.Bytes("/proc/mdstat")) {
		f := strings.Fields(line)
		switch {
		case len(f) > 2 && strings.HasPrefix(line, "md") && f[1] == ":":
			a.report(g)
			a = newArray(f)
		case a == nil || len(f) == 0 || line[0] != ' ' && line[0] != '\t':
			a.report(g)
			a = nil
		default:
			a.detail(f)
		}
	}
	a.report(g)
	for _, name := range g.Matching("/sys/block", "md*") {
		dir := path.Join("/sys/block", name, "md")
		g.AddFile("raid_disks", path.Join(dir, "raid_disks"), 1, "device", name)
		g.AddFile("degraded", path.Join(dir, "degraded"), 1, "device", name)
	}
	return nil
}

// newArray reads "md6 : active (read-only) raid1 sdb2[2](F) sdc[1](S) sda2[0]".
func newArray(f []string) *array {
	a := &array{name: f[0], state: f[2]}
	for _, word := range f[3:] {
		switch {
		case !strings.Contains(word, "["):
		case strings.Contains(word, "(S)"):
			a.spare++
		case strings.Contains(word, "(F)"):
			a.failed++
		default:
			a.members++
		}
	}
	return a
}

// detail reads the lines below: the size with the disks wanted and there, "195310144
// blocks [2/1] [U_]", and the progress of a repair.
func (a *array) detail(f []string) {
	for i, word := range f {
		if word == "blocks" && i > 0 {
			a.blocks, a.sized = probe.ParseNumber(f[i-1])
			a.synced = a.blocks
		}
		inside, ok := strings.CutPrefix(word, "[")
		wanted, there, slash := strings.Cut(strings.TrimSuffix(inside, "]"), "/")
		w, okW := probe.ParseNumber(wanted)
		h, okH := probe.ParseNumber(there)
		if ok && slash && okW && okH {
			a.required, a.active, a.counted = w, h, true
		}
		work, waits, _ := strings.Cut(word, "=") // "resync=DELAYED"
		if state := repairs[work]; state != "" && a.state == "active" {
			a.state = state
			if waits != "" {
				a.synced = 0
			}
		}
		progress, isProgress := strings.CutPrefix(word, "(")
		done, _, ofTotal := strings.Cut(progress, "/")
		if v, ok := probe.ParseNumber(done); ok && isProgress && ofTotal {
			a.synced = v
		}
	}
}

// repairs are the words of the kernel for what an array is at.
var repairs = map[string]string{"recovery": "recovering", "resync": "resync", "check": "check", "reshape": "resync"}

func (a *array) report(g *probe.Gathering) {
	if a == nil {
		return
	}
	if !a.counted { // no redundancy: every disk is wanted
		a.required, a.active = a.members, a.members
	}
	if a.state == "inactive" {
		a.required, a.active = 0, 0
	}
	for _, s := range mdStates {
		g.Add("state", is(s == a.state), "device", a.name, "state", s)
	}
	g.Add("disks", a.active, "device", a.name, "state", "active")
	g.Add("disks", a.failed, "device", a.name, "state", "failed")
	g.Add("disks", a.spare, "device", a.name, "state", "spare")
	g.Add("disks_required", a.required, "device", a.name)
	if a.sized {
		g.Add("blocks", a.blocks, "device", a.name)
		g.Add("blocks_synced", a.synced, "device", a.name)
	}
}
