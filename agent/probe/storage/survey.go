package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// survey is one look at the storage of a host: what several sections need of it.
type survey struct {
	host    *probe.Host
	report  *probe.Report
	table   mountTable
	fstab   []FstabEntry
	content *content
	devices []device // whole ones that count
	hidden  []device // paths of multipath NVMe disks
	rows    []*facts.BlockDeviceRow
}

// deviceSections are those that /sys/block tells of.
var deviceSections = []facts.ID{
	facts.BlockDevices, facts.LVMVolumes, facts.RAIDArrays, facts.Multipath, facts.EncryptedVolumes, facts.Pools, facts.DiskHealth,
}

// list finds the devices; it reports whether there is a way to.
func (s *survey) list(ctx context.Context) bool {
	entries, err := s.host.ReadDir(blockFolder)
	if err != nil {
		for _, id := range deviceSections {
			s.report.Problem(id, absent(err, "no /sys/block on this machine"))
		}
		return false
	}
	var silent []string
	defer func() { s.unread(silent) }()
	for _, e := range entries {
		if ctx.Err() != nil {
			return true
		}
		d := openDevice(s.host, path.Join(blockFolder, e.Name()))
		switch {
		case strings.HasPrefix(d.name, "nvme") && d.flag("hidden"):
			s.hidden = append(s.hidden, d)
		case d.gone():
			if _, err := s.host.Stat(d.dir); err == nil { // else it vanished after the folder was listed
				silent = append(silent, d.name)
			}
		case !d.hidden():
			s.devices = append(s.devices, d)
		}
	}
	return true
}

// unread says which devices tell neither their number nor their size.
func (s *survey) unread(names []string) {
	if len(names) == 0 {
		return
	}
	problem := fmt.Errorf("%s tells neither number nor size of %s", blockFolder, strings.Join(names, ", "))
	for _, id := range deviceSections {
		if id != facts.BlockDevices {
			s.report.Problem(id, problem)
		}
	}
	s.report.Hidden(facts.BlockDevices, problem, func(row facts.Row) bool {
		b := row.(*facts.BlockDeviceRow)
		return slices.Contains(names, b.Name) || slices.Contains(names, b.Parent)
	})
}

// blockDevices adds a row for each disk and partition.
func (s *survey) blockDevices(ctx context.Context) {
	for _, d := range s.devices {
		if ctx.Err() != nil {
			return
		}
		disk := d.row()
		s.content.fill(disk)
		s.rows = append(s.rows, disk)
		for _, part := range d.partitions(disk) {
			s.content.fill(part)
			s.rows = append(s.rows, part)
		}
	}
	s.askContent(ctx)
}

const (
	contentAge  = time.Hour
	contentWait = 2 * time.Second
	// extendedBytes is the size of an extended partition, which holds others and no content.
	extendedBytes = 1024
)

// askContent has a helper read the beginning of the devices that udev knows nothing of:
// in containers and on small systems it does not run. Where the rights do not suffice,
// what is on them stays unknown.
func (s *survey) askContent(ctx context.Context) {
	inquiry := probe.Inquiry{MaxAge: contentAge, Wait: contentWait}
	var asked []*facts.BlockDeviceRow
	for _, row := range s.rows {
		known := len(s.content.host.UdevProperties(row.MajorMinor)) > 0 || row.UUID != ""
		if known || row.SizeBytes <= extendedBytes || row.Removable || row.Type == "rom" || strings.HasPrefix(row.Name, "zram") {
			continue
		}
		asked = append(asked, row)
		inquiry.Questions = append(inquiry.Questions, probe.Question{Task: SuperblockTask, Path: "/dev/" + row.Name})
	}
	if len(asked) == 0 {
		return
	}
	s.host.Ask(ctx, &inquiry)
	s.learn(asked, inquiry.Answers)
}

// learn takes what the helper found on devices.
func (s *survey) learn(asked []*facts.BlockDeviceRow, answers []probe.Answer) {
	tables := make(map[string]map[string]string)
	var unread []*facts.BlockDeviceRow
	var problem error
	for i, row := range asked {
		a := answers[i]
		if a.Err != nil && len(a.Data) == 0 && !errors.Is(a.Err, errors.ErrUnsupported) {
			unread = append(unread, row)
			if problem == nil {
				problem = a.Err
			}
		}
		v := probe.ParseUdev(string(a.Data))
		tables[row.Name] = v
		fillProperties(row, v)
	}
	for _, row := range s.rows {
		if v := tables[row.Parent]; row.Type == "part" && v != nil {
			part := "PART" + strconv.Itoa(row.PartNumber)
			set(&row.PartType, v[part+"_TYPE"])
			set(&row.PartUUID, v[part+"_UUID"])
			set(&row.PartName, v[part+"_NAME"])
		}
	}
	s.sealed(unread, problem)
}

// maxNamed bounds the devices that a reason names.
const maxNamed = 5

// sealed says of which devices the content is not known, and that such a one may hold an
// encrypted volume unless it is mounted or has partitions.
func (s *survey) sealed(rows []*facts.BlockDeviceRow, problem error) {
	var all, closed []string
	for _, row := range rows {
		all = append(all, row.Name)
		if row.FSType == "" && !slices.ContainsFunc(s.rows, func(r *facts.BlockDeviceRow) bool { return r.Parent == row.Name }) {
			closed = append(closed, row.Name)
		}
	}
	few := func(names []string) string {
		if more := len(names) - maxNamed; more > 0 {
			return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
		}
		return strings.Join(names, ", ")
	}
	if len(all) > 0 {
		s.report.Veiled(facts.BlockDevices, fmt.Errorf("type, uuid, label and table of what is on %s are not known: %w", few(all), problem))
	}
	if len(closed) > 0 {
		s.report.Hidden(facts.EncryptedVolumes, fmt.Errorf("what is on %s is not known: %w", few(closed), problem),
			func(row facts.Row) bool { return slices.Contains(closed, row.(*facts.EncryptedVolumeRow).Device) })
	}
}

// udev returns what udev's database has of a device.
func (s *survey) udev(name string) map[string]string {
	for _, row := range s.rows {
		if row.Name == name {
			return s.content.host.UdevProperties(row.MajorMinor)
		}
	}
	return nil
}

// gone reports whether err says that there is no such file.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// multipath adds the paths of disks that several lead to: of the device mapper's maps,
// and those that the NVMe driver hides behind one disk.
func (s *survey) multipath() {
	for _, d := range s.devices {
		wwid, ok := strings.CutPrefix(d.mapperUUID, "mpath-")
		if !ok {
			continue
		}
		for _, name := range strings.Split(d.names("slaves"), ",") {
			p := openDevice(s.host, path.Join(blockFolder, name))
			if p.gone() {
				continue
			}
			link, _ := s.host.Readlink(p.dir) // a plain folder in copies
			s.report.Add(facts.Multipath, &facts.MultipathRow{
				Map: d.mapperName, Device: d.name, WWID: wwid, Path: name,
				State: p.text("device/state"), Address: scsiAddress(link), Transport: transport(name, link),
			})
		}
	}
	for _, p := range s.hidden {
		disk, controller := nvmePath(p.name)
		if disk == "" {
			continue
		}
		state := p.text("device/state")
		if ana := p.text("ana_state"); ana != "" && state == "live" {
			state = ana
		}
		s.report.Add(facts.Multipath, &facts.MultipathRow{
			Map: disk, Device: disk, WWID: p.text("wwid"), Path: p.name, State: state, Address: controller, Transport: "nvme",
		})
	}
}

// nvmePath splits nvme0c1n2, the path through controller 1 to disk nvme0n2.
func nvmePath(name string) (disk, controller string) {
	subsystem, rest, ok := strings.Cut(name, "c")
	number, namespace, ok2 := strings.Cut(rest, "n")
	if !ok || !ok2 || number == "" {
		return "", ""
	}
	return subsystem + "n" + namespace, "nvme" + number
}

// scsiAddress finds host:channel:target:lun in the path of a device in sysfs.
func scsiAddress(link string) string {
	before, _, ok := strings.Cut(link, "/block/")
	if base := path.Base(before); ok && strings.Count(base, ":") == 3 {
		return base
	}
	return ""
}

// pools adds what the kernel tells of zfs, btrfs and bcache.
func (s *survey) pools() {
	s.zfs()
	s.btrfs()
	for _, d := range s.devices {
		if !strings.HasPrefix(d.name, "bcache") {
			continue
		}
		state := "stopped"
		if d.flag("bcache/running") {
			state = "running"
		}
		s.report.Add(facts.Pools, &facts.PoolRow{Kind: "bcache", Name: d.name, State: state, Devices: d.names("slaves"),
			Size: d.size, UUID: d.text("bcache/backing_dev_uuid"), Profile: chosen(d.text("bcache/cache_mode"))})
	}
}

// chosen is the word in brackets: "writethrough [writeback] none".
func chosen(text string) string {
	_, after, _ := strings.Cut(text, "[")
	word, _, ok := strings.Cut(after, "]")
	if !ok {
		return ""
	}
	return word
}

const zfsFolder = "/proc/spl/kstat/zfs"

// zfs lists pools that are imported; the file state exists since OpenZFS 0.8.
func (s *survey) zfs() {
	entries, err := s.host.ReadDir(zfsFolder)
	if err != nil && !gone(err) {
		s.report.Problem(facts.Pools, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			state := strings.ToLower(s.host.ReadString(path.Join(zfsFolder, e.Name(), "state")))
			s.report.Add(facts.Pools, &facts.PoolRow{Kind: "zfs", Name: e.Name(), State: state})
		}
	}
}

const btrfsFolder = "/sys/fs/btrfs"

func (s *survey) btrfs() {
	entries, err := s.host.ReadDir(btrfsFolder)
	if err != nil && !gone(err) {
		s.report.Problem(facts.Pools, err)
	}
	for _, e := range entries {
		if strings.Count(e.Name(), "-") != 4 { // features, debug
			continue
		}
		dir := path.Join(btrfsFolder, e.Name())
		row := &facts.PoolRow{Kind: "btrfs", Name: e.Name(), UUID: e.Name(), State: "online"}
		if label := s.host.ReadString(dir + "/label"); label != "" {
			row.Name = label
		}
		var names []string
		devices, _ := s.host.ReadDir(dir + "/devices") // unmounted meanwhile
		for _, d := range devices {
			names = append(names, d.Name())
			for _, r := range s.rows {
				if r.Name == d.Name() {
					row.Size += r.SizeBytes
				}
			}
		}
		row.Devices = list(names)
		members, _ := s.host.ReadDir(dir + "/devinfo") // since Linux 5.6
		for _, m := range members {
			if s.host.ReadString(dir+"/devinfo/"+m.Name()+"/missing") == "1" {
				row.Missing++
				row.State = "degraded"
			}
		}
		if data, meta := s.profile(dir, "data"), s.profile(dir, "metadata"); data != "" && meta != "" {
			row.Profile = data + "," + meta
		}
		s.report.Add(facts.Pools, row)
	}
}

// profile is the kind of redundancy of a kind of block groups; several while a balance
// is under way.
func (s *survey) profile(dir, kind string) string {
	entries, _ := s.host.ReadDir(dir + "/allocation/" + kind)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, "+")
}
