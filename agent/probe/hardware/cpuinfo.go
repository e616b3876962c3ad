package hardware

import (
	"regexp"
	"strconv"
	"strings"
)

// processor is what /proc/cpuinfo says of one logical processor: the fields that we read.
type processor struct {
	number  int
	socket  int    // -1: not told
	core    int    // -1: not told
	part    string // of arm: which design the core is
	details map[string]string
}

// cpuFields are the fields that we read, with the names that we give them. Which exist
// depends on the architecture (arch/*/kernel/proc.c and setup.c).
var cpuFields = map[string]string{
	"vendor_id": "vendor", "vendor": "vendor", "cpu family": "family", "CPU Family": "family", "family": "family",
	"model": "model id", "model name": "model name", "Model Name": "model name", "Processor": "model name", "cpu model": "model name",
	"stepping": "stepping", "revision": "revision", "microcode": "microcode", "cache size": "cache size",
	"flags": "flags", "Features": "flags", "features": "flags", "isa": "flags", "ISA": "flags", "ASEs implemented": "flags", "facilities": "facilities",
	"uarch": "model", "cpu": "model", "machine": "machine",
	"CPU implementer": "CPU implementer", "CPU architecture": "CPU architecture", "CPU variant": "CPU variant",
	"CPU part": "CPU part", "CPU revision": "CPU revision",
	"clock": "clock", "cycle frequency [Hz]": "hertz", "cpu MHz static": "megahertz",
	"fpu_exception": "x86", "arch": "arch", "VCED exceptions": "mips", "wait instruction": "mips", "MMU Type": "sparc", "Cpu0ClkTck": "sparc hertz",
	"hversion": "parisc", "capabilities": "capabilities", "cut": "sh", "cpu type": "model name", "cpu flags": "flags",
	"CPU": "model name", "Calibration": "m68k", "Clocking": "clock", "cpu MHz": "present megahertz", "CPU MHz": "present megahertz",
}

// cpuCounts are the fields in which systems without a block for each processor say how
// many there are: alpha, sparc.
var cpuCounts = map[string]bool{"cpus detected": true, "ncpus active": true, "ncpus probed": false}

// parseCPUInfo reads /proc/cpuinfo. Fields outside of any processor (s390, ppc) go to
// every processor. The details are kept for the first processor of each socket only,
// since the flags of 256 processors are long.
func parseCPUInfo(text string) []processor {
	list := cpuList{shared: make(map[string]string), described: make(map[int]bool), current: processor{number: -1}}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok && name == "":
			list.flush()
		case name == "processor":
			list.begin(value)
		case strings.HasPrefix(name, "processor "): // s390: "processor 0: version = ..."
			list.begin(strings.TrimPrefix(name, "processor "))
			list.current.setPairs(value)
			list.flush()
		case list.current.number >= 0:
			list.current.set(name, value)
		case cpuCounts[name]:
			list.count = min(max(list.count, atoi(value)), maxCPU)
		default:
			if own, ok := cpuFields[name]; ok && list.shared[own] == "" {
				list.shared[own] = value
			}
		}
	}
	list.flush()
	return list.finish()
}

// cpuList collects the processors of one file.
type cpuList struct {
	found     []processor
	current   processor         // number -1: none
	shared    map[string]string // what stands outside of any
	described map[int]bool      // sockets that have details
	count     int               // processors that are only counted
}

func (l *cpuList) begin(number string) {
	l.flush()
	l.current = processor{number: atoi(number), socket: -1, core: -1, details: make(map[string]string, 16)}
}

func (l *cpuList) flush() {
	if p := l.current; p.number >= 0 && p.number < maxCPU {
		if l.described[p.socket] {
			p.details = nil
		}
		l.described[p.socket] = true
		l.found = append(l.found, p)
	}
	l.current = processor{number: -1}
}

func (l *cpuList) finish() []processor {
	if len(l.found) == 0 && (l.shared["model name"] != "" || l.shared["model"] != "") {
		l.found = []processor{{number: 0, socket: -1, core: -1, details: make(map[string]string)}}
		for n := 1; n < l.count; n++ {
			l.found = append(l.found, processor{number: n, socket: -1, core: -1})
		}
	}
	if len(l.found) > 0 && l.found[0].details != nil {
		for name, value := range l.shared {
			if l.found[0].details[name] == "" {
				l.found[0].details[name] = value
			}
		}
	}
	return l.found
}

func (p *processor) set(name, value string) {
	switch own, ok := cpuFields[name]; {
	case name == "physical id":
		p.socket = atoi(value)
	case name == "core id":
		p.core = atoi(value)
	case name == "CPU part" && p.part == "":
		p.part = value
		p.details[own] = value
	case ok && p.details[own] == "":
		p.details[own] = value
	}
}

// setPairs reads "version = FF,  identification = 1,  machine = 8561".
func (p *processor) setPairs(s string) {
	for pair := range strings.SplitSeq(s, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			p.set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
}

// atoi gives -1 for what is no number.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// ratedSpeed is the frequency that makers write into the model name.
var ratedSpeed = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?) ?([GM])Hz$`)

// ratedHz is the frequency that a processor was made for, as cpuinfo tells it: in the
// name, or in a field of architectures that have one. That of x86 is the present one.
func ratedHz(details map[string]string) int64 {
	if m := ratedSpeed.FindStringSubmatch(strings.TrimSpace(details["model name"])); m != nil {
		n, _ := strconv.ParseFloat(m[1], 64) // the pattern admits nothing else
		if m[2] == "G" {
			n *= 1000
		}
		return int64(min(n, 1e6)+0.5) * 1e6
	}
	cycles, _, _ := strings.Cut(details["hertz"], " ") // alpha: "666666666 est."
	if hz, err := strconv.ParseInt(cycles, 10, 64); err == nil && hz > 0 {
		return hz
	}
	if hz, err := strconv.ParseInt(details["sparc hertz"], 16, 64); err == nil && hz > 0 && hz < 1e12 {
		return hz
	}
	fixed := "" // where the frequency does not change, or cpuinfo has that of the data sheet
	switch cpuArch(details) {
	case "ia64", "parisc", "parisc64", "loongarch64":
		fixed = details["present megahertz"]
	}
	for _, mhz := range []string{details["megahertz"], strings.TrimSuffix(details["clock"], "MHz"), fixed} {
		if n, err := strconv.ParseFloat(mhz, 64); err == nil && n > 0 && n < 1e6 {
			return int64(n+0.5) * 1e6
		}
	}
	return 0
}

// cpuBlocks is the whole of /proc/cpuinfo: the fields of each block. A block ends at an
// empty line, or where another processor begins.
func cpuBlocks(text string) []map[string]string {
	blocks := []map[string]string{}
	var block map[string]string
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok && name == "" {
			block = nil
			continue
		}
		if _, again := block["processor"]; block == nil || again && name == "processor" {
			block = make(map[string]string)
			blocks = append(blocks, block)
		}
		block[name] = value
	}
	return blocks
}

// machine is what cpuinfo says of the machine around the processors, on boards that
// have neither SMBIOS nor a device tree (arm, mips, alpha, ppc).
func cpuMachine(text string) (product, version, serial string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "Hardware", "Model", "platform string", "machine", "system type":
			product = meaningful(printable(value)) // the last one is the most exact: "Model" comes after "Hardware"
		case "Revision":
			version = meaningful(printable(value))
		case "Serial", "system serial number":
			serial = meaningful(printable(value))
		}
	}
	return product, version, serial
}

// cpuArch is the instruction set of the processor, told by the fields that only its
// kernel writes; that of the system may be an older one. "" if none tells.
func cpuArch(d map[string]string) string {
	has := func(name string) bool { _, ok := d[name]; return ok }
	switch {
	case has("CPU implementer") && (d["CPU architecture"] == "8" || d["CPU architecture"] == "AArch64"):
		return "aarch64"
	case has("CPU implementer"):
		return "arm"
	case has("x86") && strings.Contains(" "+d["flags"]+" ", " lm "):
		return "x86_64"
	case has("x86"):
		return "i386"
	case d["vendor"] == "IBM/S390":
		return "s390x"
	case strings.HasPrefix(d["flags"], "rv64"):
		return "riscv64"
	case strings.HasPrefix(d["flags"], "rv32"):
		return "riscv32"
	case d["model"] == "Alpha":
		return "alpha"
	case d["arch"] == "IA-64":
		return "ia64"
	case strings.Contains(d["revision"], "(pvr "):
		return "powerpc"
	case has("mips") && strings.Contains(d["flags"], "mips64"):
		return "mips64"
	case has("mips"):
		return "mips"
	case strings.Contains(d["flags"], "loongarch64"):
		return "loongarch64"
	case has("parisc") && strings.Contains(d["capabilities"], "os64"):
		return "parisc64"
	case has("parisc"):
		return "parisc"
	case has("sh"):
		return "sh"
	case has("m68k"):
		return "m68k"
	case has("sparc"):
		return "sparc"
	}
	return ""
}
