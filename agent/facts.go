package agent

import (
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/agent/probe/osinfo"
	"atalaya/shared/identity"
)

// maxOfAKind bounds cards and disks: more make a machine no easier to know again.
const maxOfAKind = 16

// firmwareFacts are where the kernel shows what the firmware says of the machine; to
// root and those with CAP_DAC_READ_SEARCH only.
var firmwareFacts = []struct {
	kind identity.FactKind
	file string
}{
	{identity.FactSystemUUID, "/sys/class/dmi/id/product_uuid"},
	{identity.FactSystemSerial, "/sys/class/dmi/id/product_serial"},
	{identity.FactSystemSerial, "/sys/firmware/devicetree/base/serial-number"}, // boards without DMI
	{identity.FactBoardSerial, "/sys/class/dmi/id/board_serial"},
	{identity.FactChassisSerial, "/sys/class/dmi/id/chassis_serial"},
	{identity.FactInstance, "/var/lib/cloud/data/instance-id"},
}

// IdentityFacts are the facts by which the machine may be known again, junk too, by
// kind. What cannot be read is absent.
func IdentityFacts(h *probe.Host) []identity.Fact {
	var facts []identity.Fact
	add := func(kind identity.FactKind, value string) bool {
		f := identity.Fact{Kind: kind, Value: identity.CleanFact(strings.TrimRight(value, "\x00"))}
		if f.Value == "" {
			return false
		}
		if !slices.Contains(facts, f) {
			facts = append(facts, f)
		}
		return true
	}
	for _, f := range firmwareFacts {
		add(f.kind, h.ReadString(f.file))
	}
	for _, dir := range fixedDevices(h, "/sys/class/net") {
		// A card in a bond shows the bond's address, and keeps its own here.
		if !add(identity.FactMAC, h.ReadString(dir+"/bonding_slave/perm_hwaddr")) {
			add(identity.FactMAC, h.ReadString(dir+"/address"))
		}
	}
	for _, dir := range fixedDevices(h, "/sys/block") {
		if h.ReadString(dir+"/removable") == "1" {
			continue
		}
		for _, file := range []string{"wwid", "device/wwid", "serial", "device/serial"} {
			if add(identity.FactDisk, h.ReadString(path.Join(dir, file))) {
				break
			}
		}
	}
	add(identity.FactMachineID, osinfo.MachineID(h))
	return facts
}

// fixedDevices are the folders of devices that stay in the machine: made of hardware,
// and not on the USB, where docks and sticks travel between machines.
func fixedDevices(h *probe.Host, class string) (dirs []string) {
	entries, _ := h.ReadDir(class) // where there is no such folder there is no such device
	for _, e := range entries {
		dir := path.Join(class, e.Name())
		if _, err := h.Stat(dir + "/device"); err != nil || len(dirs) == maxOfAKind {
			continue
		}
		if target, _ := h.Readlink(dir); !strings.Contains(target, "/usb") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
