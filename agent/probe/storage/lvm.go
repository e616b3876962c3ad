package storage

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/shared/facts"
)

// lvmSection is a part of LVM's text metadata (vgcfgbackup(8)): values by name, and
// parts in it.
type lvmSection struct {
	values map[string][]string // a single value is a list of one
	parts  map[string]*lvmSection
}

// maxLVMDepth bounds the nesting: a group, its volumes, a volume, a segment.
const maxLVMDepth = 16

func (s *lvmSection) one(name string) string {
	if s == nil || len(s.values[name]) == 0 {
		return ""
	}
	return s.values[name][0]
}

// number is 0 where there is none that makes sense.
func (s *lvmSection) number(name string) int64 {
	n, err := strconv.ParseInt(s.one(name), 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return 0
	}
	return n
}

func (s *lvmSection) part(name string) *lvmSection {
	if s == nil {
		return nil
	}
	return s.parts[name]
}

// lvmScanner cuts the text into words: names, numbers, strings and the marks = { } [ ].
type lvmScanner struct {
	text string
	err  error
}

// next returns the next word, "" at the end; a string comes with its first quote.
func (s *lvmScanner) next() string {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n,")
		if !strings.HasPrefix(s.text, "#") {
			break
		}
		_, s.text, _ = strings.Cut(s.text, "\n")
	}
	if s.text == "" {
		return ""
	}
	switch c := s.text[0]; c {
	case '=', '{', '}', '[', ']':
		s.text = s.text[1:]
		return string(c)
	case '"':
		return s.quoted()
	}
	end := strings.IndexAny(s.text, " \t\r\n,={}[]#\"")
	if end < 0 {
		end = len(s.text)
	}
	word := s.text[:end]
	s.text = s.text[end:]
	return word
}

// quoted reads a string, in which a backslash stands before quotes and backslashes.
func (s *lvmScanner) quoted() string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\' && i+1 < len(s.text):
			i++
			b.WriteByte(s.text[i])
		case c == '"':
			s.text = s.text[i+1:]
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	s.text, s.err = "", fmt.Errorf("a string has no end")
	return ""
}

// section reads up to the closing brace, or the end of the text for the outermost.
func (s *lvmScanner) section(depth int) *lvmSection {
	out := &lvmSection{values: make(map[string][]string), parts: make(map[string]*lvmSection)}
	for s.err == nil {
		name := s.next()
		switch {
		case name == "" && depth > 0:
			s.fail("the text ends within a section")
			return out
		case name == "" || name == "}" && depth > 0:
			return out
		case strings.ContainsAny(name, "={}[]\""):
			s.fail(fmt.Sprintf("%.40q is no name", name))
			return out
		}
		switch mark := s.next(); {
		case mark == "{" && depth < maxLVMDepth:
			out.parts[name] = s.section(depth + 1)
		case mark == "=":
			out.values[name] = s.value()
		default:
			s.fail(fmt.Sprintf("%.40q stands for nothing", name))
		}
	}
	return out
}

func (s *lvmScanner) value() []string {
	word := s.next()
	if word != "[" {
		if word == "" || strings.ContainsAny(word[:1], "={}]") {
			s.fail("a value is missing")
			return nil
		}
		return []string{strings.TrimPrefix(word, `"`)}
	}
	var list []string
	for s.err == nil {
		switch word = s.next(); word {
		case "]":
			return list
		case "", "=", "{", "}", "[":
			s.fail("a list has no end")
		default:
			list = append(list, strings.TrimPrefix(word, `"`))
		}
	}
	return list
}

func (s *lvmScanner) fail(text string) {
	if s.err == nil {
		s.err = fmt.Errorf("LVM metadata: %s", text)
	}
}

// ParseLVM reads a metadata backup of LVM, such as /etc/lvm/backup/vg0, to rows of one
// volume group, its physical and its visible logical volumes. What was understood before
// an error comes with it.
func ParseLVM(b []byte) ([]facts.Row, error) {
	s := lvmScanner{text: strings.ToValidUTF8(string(b), "\uFFFD")}
	top := s.section(0)
	var rows []facts.Row
	for _, name := range slices.Sorted(maps.Keys(top.parts)) {
		if vg := top.parts[name]; vg.one("id") != "" {
			g := newLVMGroup(name, vg)
			rows = append(rows, g.rows()...)
			if g.left <= 0 {
				s.fail("too entangled: devices of some volumes are left out")
			}
		}
	}
	return rows, s.err
}

// lvmGroup is a volume group while its rows are made.
type lvmGroup struct {
	name   string
	vg     *lvmSection
	extent int64            // bytes
	used   map[string]int64 // extents in use, by physical volume
	// snapshots has the origins of classic snapshots, which hidden volumes tie to them.
	snapshots map[string]string
	left      int // areas that may still be looked at
}

// maxLVMAreas bounds what is looked at for the devices of a group's volumes: 10,000 thin
// volumes look at 100,000 areas, those of their pool each time.
const maxLVMAreas = 1_000_000

func newLVMGroup(name string, vg *lvmSection) *lvmGroup {
	g := &lvmGroup{name: name, vg: vg, extent: vg.number("extent_size") * sectorBytes, used: make(map[string]int64),
		snapshots: make(map[string]string), left: maxLVMAreas}
	lvs := vg.part("logical_volumes")
	if lvs == nil {
		return g
	}
	for _, lv := range lvs.parts {
		for _, seg := range lv.parts {
			areas := seg.values["stripes"]
			for i := 0; i+1 < len(areas); i += 2 {
				g.used[areas[i]] += seg.number("extent_count") / max(seg.number("stripe_count"), 1)
			}
			if seg.one("type") == "snapshot" {
				g.snapshots[seg.one("cow_store")] = seg.one("origin")
			}
		}
	}
	return g
}

// bytes is a number of extents in bytes, 0 for what cannot be.
func (g *lvmGroup) bytes(extents int64) int64 {
	if g.extent <= 0 || extents < 0 || extents > (1<<62)/g.extent {
		return 0
	}
	return extents * g.extent
}

func (g *lvmGroup) rows() []facts.Row {
	vg := &facts.LVMVolumeRow{Kind: "vg", Name: g.name, UUID: g.vg.one("id"), Status: flags(g.vg), Tags: tags(g.vg)}
	rows := []facts.Row{vg}
	var extents, free int64
	if pvs := g.vg.part("physical_volumes"); pvs != nil {
		for name, pv := range pvs.parts {
			count := pv.number("pe_count")
			left := max(count-g.used[name], 0)
			extents, free = extents+count, free+left
			bytes := g.bytes(left)
			rows = append(rows, &facts.LVMVolumeRow{Kind: "pv", Group: g.name, Name: g.device(name), UUID: pv.one("id"),
				SizeBytes: g.bytes(count), FreeBytes: &bytes, Status: flags(pv), Tags: tags(pv)})
		}
	}
	bytes := g.bytes(free)
	vg.SizeBytes, vg.FreeBytes = g.bytes(extents), &bytes
	if lvs := g.vg.part("logical_volumes"); lvs != nil {
		for _, name := range slices.Sorted(maps.Keys(lvs.parts)) { // maxLVMAreas leaves out the same each time
			if lv := lvs.parts[name]; slices.Contains(lv.values["status"], "VISIBLE") {
				rows = append(rows, g.logical(name, lv))
			}
		}
	}
	return facts.Sort(rows)
}

func (g *lvmGroup) logical(name string, lv *lvmSection) *facts.LVMVolumeRow {
	row := &facts.LVMVolumeRow{Kind: "lv", Group: g.name, Name: name, UUID: lv.one("id"), Status: flags(lv), Tags: tags(lv)}
	if at := lv.number("creation_time"); at > 0 && at < 1<<36 {
		row.CreatedAt = facts.TimeOf(time.Unix(at, 0))
	}
	var extents int64
	for _, segName := range slices.Sorted(maps.Keys(lv.parts)) {
		seg := lv.parts[segName]
		extents += seg.number("extent_count")
		set(&row.Type, seg.one("type"))
		set(&row.Pool, seg.one("thin_pool"))
		set(&row.Pool, seg.one("cache_pool"))
		set(&row.Origin, seg.one("origin"))
	}
	row.SizeBytes = g.bytes(extents)
	if origin, ok := g.snapshots[name]; ok {
		row.Type, row.Origin = "snapshot", origin
	}
	row.Devices = g.devices(name)
	return row
}

// lvmAreas are the values of a segment that name other volumes: lists of pairs of a
// name and a number, of names alone, and single names.
var lvmAreas = []string{"stripes", "mirrors", "raids", "pool", "metadata", "thin_pool", "cache_pool", "data", "origin", "cow_store"}

// devices are those of the physical volumes on which a volume lies: "" when it would take
// too long to find them.
func (g *lvmGroup) devices(name string) string {
	lvs, pvs := g.vg.part("logical_volumes"), g.vg.part("physical_volumes")
	seen := map[string]bool{name: true}
	found := make(map[string]bool)
	for todo := []string{name}; len(todo) > 0; {
		name, todo = todo[len(todo)-1], todo[:len(todo)-1]
		lv := lvs.part(name)
		if lv == nil {
			if pvs.part(name) != nil {
				found[g.device(name)] = true
			}
			continue
		}
		for _, seg := range lv.parts {
			for _, key := range lvmAreas {
				for _, other := range seg.values[key] {
					if g.left--; g.left <= 0 {
						return ""
					}
					if !seen[other] {
						seen[other] = true
						todo = append(todo, other)
					}
				}
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ",")
}

// device is the kernel name of a physical volume, as far as the hint goes.
func (g *lvmGroup) device(pv string) string {
	p := g.vg.part("physical_volumes").part(pv)
	if device := strings.TrimPrefix(p.one("device"), "/dev/"); device != "" && device != "unknown device" && device != "[unknown]" {
		return device
	}
	return p.one("id")
}

func flags(s *lvmSection) string {
	return strings.ToLower(strings.Join(slices.Sorted(slices.Values(s.values["status"])), ","))
}

func tags(s *lvmSection) string {
	return strings.Join(slices.Sorted(slices.Values(s.values["tags"])), ",")
}

// lvmNames splits the device mapper's name of a logical volume: vg-lv, in which a dash
// that belongs to a name is doubled.
func lvmNames(mapper string) (group, name string, ok bool) {
	for i := 0; i < len(mapper); i++ {
		if mapper[i] != '-' {
			continue
		}
		if i+1 < len(mapper) && mapper[i+1] == '-' {
			i++
			continue
		}
		group, name = strings.ReplaceAll(mapper[:i], "--", "-"), strings.ReplaceAll(mapper[i+1:], "--", "-")
		return group, name, group != "" && name != ""
	}
	return "", "", false
}

// lvmUUID cuts up the device mapper's UUID of a logical volume: LVM- and twice 32 letters,
// of the group and of the volume. Layers that LVM hides below one have a suffix.
func lvmUUID(uuid string) (id, layer string, ok bool) {
	id, ok = strings.CutPrefix(uuid, "LVM-")
	id, layer, _ = strings.Cut(id, "-")
	return id, layer, ok && len(id) == 64
}

const lvmBackup = "/etc/lvm/backup"

// lvm adds the volume groups that LVM's own backups tell of, and the logical volumes
// that the kernel has.
func (s *survey) lvm() {
	var rows []facts.Row
	entries, err := s.host.ReadDir(lvmBackup)
	if err != nil && !gone(err) {
		s.report.Problem(facts.LVMVolumes, err)
	}
	for _, e := range entries {
		name := path.Join(lvmBackup, e.Name())
		b, err := s.host.ReadFile(name)
		if err == nil {
			var got []facts.Row
			got, err = ParseLVM(b)
			rows = append(rows, got...)
		}
		if err != nil && !gone(err) {
			s.report.Problem(facts.LVMVolumes, fmt.Errorf("%s: %w", name, err))
		}
	}
	s.report.Add(facts.LVMVolumes, s.activeLVs(rows)...)
}

// activeLVs notes which volumes the kernel has, and adds those that no backup tells of.
func (s *survey) activeLVs(rows []facts.Row) []facts.Row {
	byID := make(map[string]*facts.LVMVolumeRow)
	groups := make(map[string]string)
	for _, r := range rows {
		if row := r.(*facts.LVMVolumeRow); row.Kind == "vg" {
			groups[row.Name] = strings.ReplaceAll(row.UUID, "-", "")
		}
	}
	for _, r := range rows {
		if row := r.(*facts.LVMVolumeRow); row.Kind == "lv" {
			byID[groups[row.Group]+strings.ReplaceAll(row.UUID, "-", "")] = row
		}
	}
	for _, d := range s.devices {
		id, layer, ok := lvmUUID(d.mapperUUID)
		if !ok {
			continue
		}
		row := byID[id]
		if layer != "" {
			if row != nil {
				row.Active = true // a thin pool that nobody uses directly has this layer alone
			}
			continue
		}
		if row == nil {
			group, name, ok := lvmNames(d.mapperName)
			if !ok {
				continue
			}
			row = &facts.LVMVolumeRow{Kind: "lv", Group: group, Name: name, SizeBytes: d.size, Devices: d.names("slaves")}
			rows = append(rows, row)
		}
		row.Active, row.Device = true, d.name
	}
	return rows
}
