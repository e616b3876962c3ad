package facts

import (
	"reflect"
	"slices"
	"strings"
)

// The sections. A number is given once and never reused.
const (
	OS               ID = 1
	Kernel           ID = 2
	System           ID = 3
	Board            ID = 4
	BIOS             ID = 5
	Chassis          ID = 6
	CPUs             ID = 7
	MemoryModules    ID = 8
	BlockDevices     ID = 9
	Filesystems      ID = 10
	Interfaces       ID = 11
	Addresses        ID = 12
	Routes           ID = 13
	ListeningSockets ID = 14
	Packages         ID = 15
	Patches          ID = 16
	PatchState       ID = 17
	Services         ID = 18
	Users            ID = 19
	Groups           ID = 20
	Repositories     ID = 45
	PackageIndexes   ID = 46
	RestartNeeded    ID = 47
	DNS              ID = 60
	Neighbours       ID = 61
	Connections      ID = 62
	Certificates     ID = 63
	MemoryArrays     ID = 21
	PCIDevices       ID = 22
	USBDevices       ID = 23
	GPUs             ID = 24
	Monitors         ID = 25
	Batteries        ID = 26
	PowerSupplies    ID = 27
	TPM              ID = 28
	BootSecurity     ID = 29
	Virtualization   ID = 30
	Sensors          ID = 31
	Slots            ID = 32
	Logins           ID = 48
	SudoRules        ID = 49
	AuthorizedKeys   ID = 50
	Timers           ID = 51
	CronJobs         ID = 52
	Autostart        ID = 53
	KernelModules    ID = 54
	KernelParameters ID = 55
	SecurityModules  ID = 56
	UnitSockets      ID = 57
	Environment      ID = 58
	Firewall         ID = 64
	TimeSync         ID = 65
	Containers       ID = 66
	VirtualMachines  ID = 67
	HostsFile        ID = 68
	Processes        ID = 69
	LVMVolumes       ID = 34
	RAIDArrays       ID = 35
	Multipath        ID = 36
	DiskHealth       ID = 37
	EncryptedVolumes ID = 38
	Mounts           ID = 39
	Swaps            ID = 40
	Pools            ID = 41

	ContainerPackages ID = 42
)

// Section describes one kind of facts.
type Section struct {
	ID   ID
	Name string     // as in JSON, on the command line and in SQL
	Doc  string     // one line for people
	New  func() Row // an empty row
	// Personal marks sections that may hold personal data; they can be switched off.
	Personal bool
}

var sections = []Section{
	{ID: OS, Name: "os", Doc: "operating system release", New: func() Row { return new(OSRow) }},
	{ID: Kernel, Name: "kernel", Doc: "running kernel and those installed", New: func() Row { return new(KernelRow) }},
	{ID: System, Name: "system", Doc: "machine as its maker names it", New: func() Row { return new(SystemRow) }},
	{ID: Board, Name: "board", Doc: "main board", New: func() Row { return new(BoardRow) }},
	{ID: BIOS, Name: "bios", Doc: "firmware", New: func() Row { return new(BIOSRow) }},
	{ID: Chassis, Name: "chassis", Doc: "case", New: func() Row { return new(ChassisRow) }},
	{ID: CPUs, Name: "cpus", Doc: "processor packages (sockets)", New: func() Row { return new(CPURow) }},
	{ID: MemoryModules, Name: "memory_modules", Doc: "memory slots and what is in them", New: func() Row { return new(MemoryModuleRow) }},
	{ID: BlockDevices, Name: "block_devices", Doc: "disks, partitions and what is stacked on them", New: func() Row { return new(BlockDeviceRow) }},
	{ID: Filesystems, Name: "filesystems", Doc: "mounted file systems", New: func() Row { return new(FilesystemRow) }},
	{ID: Interfaces, Name: "interfaces", Doc: "network interfaces", New: func() Row { return new(InterfaceRow) }},
	{ID: Addresses, Name: "addresses", Doc: "addresses of the interfaces", New: func() Row { return new(AddressRow) }},
	{ID: Routes, Name: "routes", Doc: "routes of the main table, and of the others where they can be told", New: func() Row { return new(RouteRow) }},
	{ID: ListeningSockets, Name: "listening_sockets", Doc: "sockets that accept connections or datagrams, with their process", New: func() Row { return new(ListeningSocketRow) }},
	{ID: Packages, Name: "packages", Doc: "installed software packages", New: func() Row { return new(PackageRow) }},
	{ID: Patches, Name: "patches", Doc: "updates the package indexes offer", New: func() Row { return new(PatchRow) }},
	{ID: PatchState, Name: "patch_state", Doc: "verdict over the patches, with its proof", New: func() Row { return new(PatchStateRow) }},
	{ID: Services, Name: "services", Doc: "services the init system knows", New: func() Row { return new(ServiceRow) }},
	{ID: Users, Name: "users", Doc: "local accounts", New: func() Row { return new(UserRow) }, Personal: true},
	{ID: Groups, Name: "groups", Doc: "local groups", New: func() Row { return new(GroupRow) }, Personal: true},
	{ID: Repositories, Name: "repositories", Doc: "configured sources of packages, with what must be signed", New: func() Row { return new(RepositoryRow) }},
	{ID: PackageIndexes, Name: "package_indexes", Doc: "indexes that the patch verdict rests on: age, signature, error", New: func() Row { return new(PackageIndexRow) }},
	{ID: RestartNeeded, Name: "restart_needed", Doc: "programs that run on replaced or removed files", New: func() Row { return new(RestartRow) }},
	{ID: DNS, Name: "dns", Doc: "how names are resolved", New: func() Row { return new(DNSRow) }},
	{ID: Neighbours, Name: "neighbours", Doc: "gateways and other neighbours that stay, with their hardware address", New: func() Row { return new(NeighbourRow) }},
	{ID: Connections, Name: "connections", Doc: "who talks to whom: programs and their peers, of the last day", New: func() Row { return new(ConnectionRow) }, Personal: true},
	{ID: Certificates, Name: "certificates", Doc: "certificates in files, with their end, and the authorities that are trusted", New: func() Row { return new(CertificateRow) }},
	{ID: MemoryArrays, Name: "memory_arrays", Doc: "memory of the machine, and the boards that hold it", New: func() Row { return new(MemoryArrayRow) }},
	{ID: PCIDevices, Name: "pci_devices", Doc: "functions on the PCI bus", New: func() Row { return new(PCIDeviceRow) }},
	{ID: USBDevices, Name: "usb_devices", Doc: "devices on the USB", New: func() Row { return new(USBDeviceRow) }},
	{ID: GPUs, Name: "gpus", Doc: "graphics cards and processors for computations", New: func() Row { return new(GPURow) }},
	{ID: Monitors, Name: "monitors", Doc: "displays that are connected", New: func() Row { return new(MonitorRow) }},
	{ID: Batteries, Name: "batteries", Doc: "batteries of the machine", New: func() Row { return new(BatteryRow) }},
	{ID: PowerSupplies, Name: "power_supplies", Doc: "power supply units and adapters", New: func() Row { return new(PowerSupplyRow) }},
	{ID: TPM, Name: "tpm", Doc: "trusted platform modules", New: func() Row { return new(TPMRow) }},
	{ID: BootSecurity, Name: "boot_security", Doc: "secure boot, lockdown, weaknesses of the processor", New: func() Row { return new(BootSecurityRow) }},
	{ID: Virtualization, Name: "virtualization", Doc: "hypervisor, container and cloud the system runs in", New: func() Row { return new(VirtualizationRow) }},
	{ID: Sensors, Name: "sensors", Doc: "sensors and their limits", New: func() Row { return new(SensorRow) }},
	{ID: Slots, Name: "slots", Doc: "slots for cards", New: func() Row { return new(SlotRow) }},
	{ID: Logins, Name: "logins", Doc: "last login of each user and line, and who is logged in", New: func() Row { return new(LoginRow) }, Personal: true},
	{ID: SudoRules, Name: "sudo_rules", Doc: "who may run what as whom: sudoers and doas.conf", New: func() Row { return new(SudoRuleRow) }, Personal: true},
	{ID: AuthorizedKeys, Name: "authorized_keys", Doc: "keys that log in by ssh, by their fingerprints", New: func() Row { return new(AuthorizedKeyRow) }, Personal: true},
	{ID: Timers, Name: "timers", Doc: "systemd timers", New: func() Row { return new(TimerRow) }},
	{ID: CronJobs, Name: "cron_jobs", Doc: "jobs of cron, anacron and at", New: func() Row { return new(CronJobRow) }, Personal: true},
	{ID: Autostart, Name: "autostart", Doc: "what starts with the machine, sessions and shells besides services", New: func() Row { return new(AutostartRow) }, Personal: true},
	{ID: KernelModules, Name: "kernel_modules", Doc: "modules of the running kernel", New: func() Row { return new(KernelModuleRow) }},
	{ID: KernelParameters, Name: "kernel_parameters", Doc: "settings of the kernel, in force and configured", New: func() Row { return new(KernelParameterRow) }},
	{ID: SecurityModules, Name: "security_modules", Doc: "SELinux, AppArmor and other security mechanisms", New: func() Row { return new(SecurityModuleRow) }},
	{ID: UnitSockets, Name: "unit_sockets", Doc: "addresses on which systemd listens for services", New: func() Row { return new(UnitSocketRow) }},
	{ID: Environment, Name: "environment", Doc: "environment, locale, time zone and target of the init system", New: func() Row { return new(EnvironmentRow) }},
	{ID: Firewall, Name: "firewall", Doc: "packet filters: whether they are active, their policies and number of rules", New: func() Row { return new(FirewallRow) }},
	{ID: TimeSync, Name: "time_sync", Doc: "what keeps the clock right, its servers, and whether it does", New: func() Row { return new(TimeSyncRow) }},
	{ID: Containers, Name: "containers", Doc: "containers on this host, with their image, ports and pod", New: func() Row { return new(ContainerRow) }},
	{ID: VirtualMachines, Name: "virtual_machines", Doc: "virtual machines on this host", New: func() Row { return new(VirtualMachineRow) }},
	{ID: HostsFile, Name: "hosts_file", Doc: "names and addresses in the hosts file", New: func() Row { return new(HostsFileRow) }},
	{ID: Processes, Name: "processes", Doc: "programs that have been running for ten minutes or more", New: func() Row { return new(ProcessRow) }, Personal: true},
	{ID: LVMVolumes, Name: "lvm_volumes", Doc: "physical volumes, volume groups and logical volumes of LVM", New: func() Row { return new(LVMVolumeRow) }},
	{ID: RAIDArrays, Name: "raid_arrays", Doc: "arrays of the kernel's software RAID, with their members", New: func() Row { return new(RAIDArrayRow) }},
	{ID: Multipath, Name: "multipath", Doc: "paths to disks that several lead to", New: func() Row { return new(MultipathRow) }},
	{ID: DiskHealth, Name: "disk_health", Doc: "what disks say of their own health", New: func() Row { return new(DiskHealthRow) }},
	{ID: EncryptedVolumes, Name: "encrypted_volumes", Doc: "encrypted volumes, open or configured", New: func() Row { return new(EncryptedVolumeRow) }},
	{ID: Mounts, Name: "mounts", Doc: "mount points of the kernel and of fstab", New: func() Row { return new(MountRow) }},
	{ID: Swaps, Name: "swaps", Doc: "swap areas", New: func() Row { return new(SwapRow) }},
	{ID: Pools, Name: "pools", Doc: "pools of disks that hold file systems", New: func() Row { return new(PoolRow) }},
	{ID: ContainerPackages, Name: "container_packages", Doc: "installed software packages inside the running containers", New: func() Row { return new(ContainerPackageRow) }},
}

// Sections returns all sections in order of their number.
func Sections() []Section { return slices.Clone(sections) }

// ByID finds a section by number.
func ByID(id ID) (Section, bool) {
	i := slices.IndexFunc(sections, func(s Section) bool { return s.ID == id })
	if i < 0 {
		return Section{}, false
	}
	return sections[i], true
}

// ByName finds a section by name.
func ByName(name string) (Section, bool) {
	i := slices.IndexFunc(sections, func(s Section) bool { return s.Name == name })
	if i < 0 {
		return Section{}, false
	}
	return sections[i], true
}

// String returns the section's name.
func (id ID) String() string {
	if s, ok := ByID(id); ok {
		return s.Name
	}
	return "unknown"
}

// Columns returns the JSON names of the section's columns, in the order of the row's fields.
func (s Section) Columns() []string {
	t := reflect.TypeOf(s.New()).Elem()
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
