package hardware

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const cpuFolder = "/sys/devices/system/cpu/"

// maxCPU bounds processor numbers; Linux can be built for 8192.
const maxCPU = 1 << 16

// socket is one processor package as counted.
type socket struct {
	id      int
	first   int // the processor that describes it
	cores   int
	threads int
	cpus    []int // its processors
	mixed   bool  // its cores are of several designs
	part    string
	details map[string]string
}

// keptCPUs keeps what was read of the processors while the same ones are online with the
// same microcode: the kernel takes long to write /proc/cpuinfo of a large machine.
type keptCPUs struct {
	state   string // what the rest was made from; "" keeps nothing
	rows    []*facts.CPURow
	machine *facts.SystemRow
	err     error
}

// read reads /proc/cpuinfo and what belongs to it, if need be.
func (k *keptCPUs) read(h *probe.Host) {
	state := cpuState(h)
	if k.rows != nil && state != "" && state == k.state {
		return
	}
	*k = keptCPUs{}
	if refused := h.Refusals(); state != "" {
		defer func() {
			if h.Refusals() == refused {
				k.state = state
			}
		}()
	}
	b, err := h.ReadFile("/proc/cpuinfo")
	if err != nil {
		if _, statErr := h.Stat("/proc/cpuinfo"); probe.Absent(statErr) {
			err = errNoCPUs
		}
		k.err = err
		return
	}
	text := string(b)
	processors := parseCPUInfo(text)
	placeProcessors(h, processors)
	for i, s := range countSockets(processors) {
		row := s.row()
		row.MaxHz = maxHz(h, s)
		addCaches(h, row, s)
		if i == 0 {
			row.Offline = len(parseCPUList(h.ReadString(cpuFolder + "offline")))
		}
		k.rows = append(k.rows, row)
	}
	if k.err = probe.Intact(b); len(k.rows) == 0 && k.err == nil {
		k.err = errors.New("/proc/cpuinfo names no processor")
	}
	k.machine = cpuSystem(text)
}

// report adds a row for each socket. sockets are those that the firmware names.
func (k *keptCPUs) report(r *probe.Report, sockets []cpuSocket) {
	if k.err != nil {
		r.Problem(facts.CPUs, k.err)
	}
	for i, kept := range k.rows {
		row := *kept
		if len(sockets) == len(k.rows) {
			sockets[i].describe(&row)
		}
		r.Add(facts.CPUs, &row)
	}
}

// cpuState changes with the processors; "" where the kernel does not tell.
func cpuState(h *probe.Host) string {
	online := h.ReadString(cpuFolder + "online")
	if online == "" {
		return ""
	}
	return online + "/" + h.ReadString(cpuFolder+"offline") + "/" + h.ReadString(cpuFolder+"cpu0/microcode/version")
}

// placeProcessors completes socket and core from /sys for architectures whose
// cpuinfo does not tell them. It reads one file per core and one per socket.
func placeProcessors(h *probe.Host, list []processor) {
	socketOf, coreOf := make(map[int]int), make(map[int]int)
	for i := range list {
		p := &list[i]
		topology := fmt.Sprintf("%scpu%d/topology/", cpuFolder, p.number)
		if p.socket < 0 {
			if _, ok := socketOf[p.number]; !ok {
				id := atoi(h.ReadString(topology + "physical_package_id"))
				spread(socketOf, p.number, id, h.ReadString(topology+"core_siblings_list"))
			}
			p.socket = socketOf[p.number]
		}
		if p.core < 0 {
			if _, ok := coreOf[p.number]; !ok {
				spread(coreOf, p.number, p.number, h.ReadString(topology+"thread_siblings_list"))
			}
			p.core = coreOf[p.number]
		}
	}
}

// spread gives value to processor n and all in list.
func spread(to map[int]int, n, value int, list string) {
	to[n] = max(value, 0) // virtual machines say -1
	for _, c := range parseCPUList(list) {
		to[c] = max(value, 0)
	}
}

// parseCPUList reads the kernel's list format: "0-3,8,10-11". What is malformed, or
// beyond maxCPU, is left out.
func parseCPUList(s string) []int {
	var out []int
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, to := atoi(lo), atoi(lo)
		if isRange {
			to = atoi(hi)
		}
		if from < 0 || to >= maxCPU {
			continue
		}
		for n := from; n <= to && len(out) < maxCPU; n++ {
			out = append(out, n)
		}
	}
	return out
}

// countSockets counts cores and threads of each socket, in order of their numbers.
func countSockets(list []processor) []*socket {
	var order []*socket
	bySocket := make(map[int]*socket)
	cores := make(map[[2]int]bool)
	for _, p := range list {
		s := bySocket[p.socket]
		if s == nil {
			s = &socket{id: p.socket, first: p.number, part: p.part}
			bySocket[p.socket] = s
			order = append(order, s)
		}
		if s.details == nil {
			s.details = p.details
		}
		s.threads++
		s.cpus = append(s.cpus, p.number)
		s.mixed = s.mixed || p.part != "" && p.part != s.part
		if c := [2]int{p.socket, p.core}; !cores[c] {
			cores[c] = true
			s.cores++
		}
	}
	for _, s := range order[min(1, len(order)):] {
		if s.details == nil { // known only after parsing that these are sockets of their own
			s.details = order[0].details
		}
	}
	slices.SortFunc(order, func(a, b *socket) int { return a.id - b.id })
	return order
}

// row describes the socket by the fields of each architecture: x86, arm, ppc, s390, riscv.
func (s *socket) row() *facts.CPURow {
	d := s.details
	row := &facts.CPURow{
		Socket: s.id, Cores: s.cores, Threads: s.threads,
		Vendor: d["vendor"], Model: strings.Join(strings.Fields(d["model name"]), " "),
		Family: d["family"], ModelID: d["model id"], Stepping: d["stepping"], Microcode: d["microcode"],
		CacheBytes: parseSize(d["cache size"]), Arch: cpuArch(d),
	}
	if s.threads > s.cores && s.threads%s.cores == 0 { // else its cores are of two designs
		row.ThreadsPerCore = s.threads / s.cores
	}
	if implementer := d["CPU implementer"]; implementer != "" {
		row.Vendor, row.Family, row.ModelID = armVendor(implementer), d["CPU architecture"], d["CPU part"]
		row.Stepping = strings.TrimPrefix(d["CPU variant"], "0x") + "." + d["CPU revision"] // "r0p1" is variant 0, revision 1
		row.Stepping = strings.Trim(row.Stepping, ".")
		if row.Model == "" {
			row.Model = armParts[implementer+" "+d["CPU part"]]
		}
	}
	if row.Stepping == "" {
		row.Stepping = d["revision"]
	}
	switch row.Arch { // where "model" or "model name" are of the machine
	case "powerpc":
		row.ModelID = ""
	case "parisc", "parisc64":
		row.Model, row.ModelID = d["model"], ""
	}
	if name, ok := s390Machines[d["machine"]]; ok && row.Model == "" {
		row.Model, row.ModelID = name, d["machine"]
	}
	for _, name := range []string{d["model"], d["family"], d["machine"]} {
		if row.Model == "" {
			row.Model = name
		}
	}
	words := strings.Fields(d["flags"])
	slices.Sort(words)
	row.Flags = strings.Join(words, " ")
	return row
}

// s390Machines are the machine types of IBM Z, which is what a processor there is
// called after.
var s390Machines = map[string]string{
	"2817": "z196", "2827": "zEC12", "2828": "zBC12", "2964": "z13", "2965": "z13s", "3906": "z14", "3907": "z14 ZR1",
	"8561": "z15", "8562": "z15 T02", "3931": "z16", "3932": "z16 A02", "9175": "z17",
}

// armVendors are the implementers of the Main ID Register (Arm ARM, MIDR_EL1).
var armVendors = map[string]string{
	"0x41": "ARM", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA",
	"0x50": "APM", "0x51": "Qualcomm", "0x53": "Samsung", "0x56": "Marvell", "0x61": "Apple", "0x69": "Intel",
	"0x6d": "Microsoft", "0x70": "Phytium", "0xc0": "Ampere",
}

func armVendor(implementer string) string {
	if v, ok := armVendors[implementer]; ok {
		return v
	}
	return implementer
}

// armParts are part numbers of cores by their designers' technical reference manuals.
var armParts = map[string]string{
	"0x41 0xd03": "Cortex-A53", "0x41 0xd04": "Cortex-A35", "0x41 0xd05": "Cortex-A55", "0x41 0xd07": "Cortex-A57",
	"0x41 0xd08": "Cortex-A72", "0x41 0xd09": "Cortex-A73", "0x41 0xd0a": "Cortex-A75", "0x41 0xd0b": "Cortex-A76",
	"0x41 0xd0c": "Neoverse-N1", "0x41 0xd0d": "Cortex-A77", "0x41 0xd40": "Neoverse-V1", "0x41 0xd41": "Cortex-A78",
	"0x41 0xd44": "Cortex-X1", "0x41 0xd49": "Neoverse-N2", "0x41 0xd4f": "Neoverse-V2", "0x41 0xc07": "Cortex-A7",
	"0x41 0xc0f": "Cortex-A15", "0x41 0xb76": "ARM1176", "0x46 0x001": "A64FX", "0x48 0xd01": "Kunpeng-920",
	"0xc0 0xac3": "Ampere-1", "0x43 0x0a1": "ThunderX", "0x43 0x0af": "ThunderX2",
}

// maxHz is the highest frequency the processor is made for: the limit of its
// frequency driver, or what cpuinfo tells.
func maxHz(h *probe.Host, s *socket) int64 {
	khz, err := strconv.ParseInt(h.ReadString(fmt.Sprintf("%scpu%d/cpufreq/cpuinfo_max_freq", cpuFolder, s.first)), 10, 64)
	if err == nil && khz > 0 && khz < 1e8 {
		return khz * 1000
	}
	return ratedHz(s.details)
}

// maxCaches bounds the caches of a processor; it has one to five.
const maxCaches = 10

// cache is one that a processor uses.
type cache struct {
	level        int
	kind, shared string // Data, Instruction or Unified; the list of processors that use it, "" if not told
	size         int64
}

func caches(h *probe.Host, cpu int) []cache {
	var list []cache
	for i := range maxCaches {
		dir := fmt.Sprintf("%scpu%d/cache/index%d/", cpuFolder, cpu, i)
		level := atoi(h.ReadString(dir + "level"))
		if level < 0 {
			break
		}
		list = append(list, cache{level, h.ReadString(dir + "type"), h.ReadString(dir + "shared_cpu_list"), parseSize(h.ReadString(dir + "size"))})
	}
	return list
}

// addCaches fills the sizes of the caches of a socket. Where all cores are of one design
// the first tells for all: a cache that n processors share is there threads/n times.
// Else every cache is counted.
func addCaches(h *probe.Host, row *facts.CPURow, s *socket) {
	first := caches(h, s.first)
	top := 0
	for _, c := range first {
		if c.level > top {
			top, row.CacheBytes = c.level, c.size
		}
	}
	if s.threads%s.cores == 0 && !s.mixed && !hybrid(h) {
		for _, c := range first {
			if sharing := len(parseCPUList(c.shared)); sharing > 0 {
				addCache(row, c, int64(max(s.threads/sharing, 1)))
			}
		}
		return
	}
	counted := make(map[cache]bool)
	for _, cpu := range s.cpus {
		for _, c := range caches(h, cpu) {
			if c.shared != "" && !counted[c] {
				counted[c] = true
				addCache(row, c, 1)
			}
		}
	}
}

// hybrid reports whether the machine has Intel's cores of two designs, each with a
// counter unit of its own.
func hybrid(h *probe.Host) bool {
	_, err := h.Stat("/sys/devices/cpu_atom")
	return err == nil
}

func addCache(row *facts.CPURow, c cache, count int64) {
	switch {
	case c.level == 1 && c.kind == "Instruction":
		row.L1iBytes += c.size * count
	case c.level == 1:
		row.L1dBytes += c.size * count
	case c.level == 2:
		row.L2Bytes += c.size * count
	case c.level == 3:
		row.L3Bytes += c.size * count
	}
}

// parseSize reads sizes such as "512 KB", "32K", "16M"; 0 if it is none.
func parseSize(s string) int64 {
	s = strings.TrimSuffix(strings.ReplaceAll(s, " ", ""), "B")
	shift := 0
	switch {
	case strings.HasSuffix(s, "K"):
		shift = 10
	case strings.HasSuffix(s, "M"):
		shift = 20
	case strings.HasSuffix(s, "G"):
		shift = 30
	}
	n, err := strconv.ParseInt(strings.TrimRight(s, "KMG"), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n << shift
}
