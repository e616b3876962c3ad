package patches

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// microcodeBehind compares the microcode that runs with that on the disk, for Intel
// processors, whose files are named by family, model and stepping (kernel
// Documentation/arch/x86/microcode.rst; layout: Intel SDM volume 3, 11.11.1). In virtual
// machines the host decides, and nothing is said.
func microcodeBehind(h *probe.Host) string {
	running, err := strconv.ParseUint(strings.TrimPrefix(h.ReadString("/sys/devices/system/cpu/cpu0/microcode/version"), "0x"), 16, 32)
	if err != nil || running == 0 {
		return ""
	}
	flags, err := strconv.ParseUint(strings.TrimPrefix(h.ReadString("/sys/devices/system/cpu/cpu0/microcode/processor_flags"), "0x"), 16, 32)
	if err != nil {
		return ""
	}
	name := intelMicrocode(h.ReadString("/proc/cpuinfo"))
	if name == "" {
		return ""
	}
	data, err := h.ReadFile("/lib/firmware/intel-ucode/" + name)
	if err != nil {
		return ""
	}
	if newest := newestMicrocode(data, uint32(flags)); newest > uint32(running) {
		return fmt.Sprintf("microcode 0x%x is installed, 0x%x runs", newest, running)
	}
	return ""
}

// intelMicrocode is the name of the file for the first processor, "" where there is none.
func intelMicrocode(cpuinfo string) string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	var family, model, stepping int
	intel := false
	for line := range strings.Lines(first) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		n, _ := strconv.Atoi(value) // 0 for what is no number
		switch strings.TrimSpace(key) {
		case "vendor_id":
			intel = value == "GenuineIntel"
		case "cpu family":
			family = n
		case "model":
			model = n
		case "stepping":
			stepping = n
		case "flags":
			if strings.Contains(" "+value+" ", " hypervisor ") {
				return ""
			}
		}
	}
	if !intel || family == 0 {
		return ""
	}
	return fmt.Sprintf("%02x-%02x-%02x", family, model, stepping)
}

const (
	microcodeHeader = 48
	// microcodeDefault is the whole size where the header has none.
	microcodeDefault = 2048
)

// newestMicrocode returns the highest revision for the platform in a file of updates
// one after the other, 0 where there is none.
func newestMicrocode(data []byte, flags uint32) (newest uint32) {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(data[4*i:]) }
	for len(data) >= microcodeHeader && word(0) == 1 {
		if platforms := word(6); platforms == 0 && flags == 0 || platforms&flags != 0 {
			newest = max(newest, word(1))
		}
		size := uint64(word(8))
		if word(7) == 0 {
			size = microcodeDefault
		}
		if size < microcodeHeader || size > uint64(len(data)) {
			break
		}
		data = data[size:]
	}
	return newest
}
