package metric

// Groups that node_exporter has too, under its names (docs/adr/0009, 0019).

// Processors and scheduling.
var (
	CPUDetail          = Group{Prefix: "node_cpu_", Help: "Processors: which are on or set apart, how often heat slowed them.", Source: "/sys/devices/system/cpu", Labels: []string{"core", "cpu", "package"}}
	CPUInfo            = Group{Prefix: "node_cpu_", Help: "Models, flags and bugs of the processors; the value is 1.", Source: "/proc/cpuinfo", Labels: []string{"bug", "cachesize", "core", "cpu", "family", "flag", "microcode", "model", "model_name", "package", "stepping", "vendor"}, Optional: true}
	CPUScaling         = Group{Prefix: "node_cpu_", Help: "Frequencies of the processors and who governs them.", Source: "/sys/devices/system/cpu/cpu*/cpufreq", Labels: []string{"cpu", "governor"}}
	CPUVulnerabilities = Group{Prefix: "node_cpu_vulnerabilities_", Help: "Weaknesses of the processors and what the kernel does about them; the value is 1.", Source: "/sys/devices/system/cpu/vulnerabilities", Labels: []string{"codename", "mitigation", "state"}, Optional: true}
	Schedstat          = Group{Prefix: "node_schedstat_", Help: "Time that threads ran and waited on each processor.", Source: "/proc/schedstat", Labels: []string{"cpu"}, Optional: true}
	Softirqs           = Group{Prefix: "node_softirqs_", Help: "Soft interrupts by kind.", Source: "/proc/softirqs, /proc/stat", Labels: []string{"cpu", "type", "vector"}, Optional: true}
	InterruptLines     = Group{Prefix: "node_interrupts_", Help: "Interrupts by line and processor.", Source: "/proc/interrupts", Labels: []string{"cpu", "devices", "info", "type"}, Optional: true}
	PressureIRQ        = Group{Prefix: "node_pressure_irq_", Help: "Time in which interrupts kept threads from running.", Source: "/proc/pressure/irq"}
)

// Memory.
var (
	Meminfo     = Group{Prefix: "node_memory_", Help: "Fields of meminfo that are not listed above.", Source: "/proc/meminfo"}
	MeminfoNUMA = Group{Prefix: "node_memory_numa_", Help: "Memory of each NUMA node, in bytes, and where it was allocated.", Source: "/sys/devices/system/node", Labels: []string{"node"}, Optional: true}
	Zoneinfo    = Group{Prefix: "node_zoneinfo_", Help: "Pages and allocations of each memory zone.", Source: "/proc/zoneinfo", Labels: []string{"node", "zone"}, Optional: true}
	Buddyinfo   = Group{Prefix: "node_buddyinfo_", Help: "Free blocks of memory by order.", Source: "/proc/buddyinfo", Labels: []string{"node", "size", "zone"}, Optional: true}
	Slabinfo    = Group{Prefix: "node_slabinfo_", Help: "Caches of the kernel's allocator.", Source: "/proc/slabinfo", Labels: []string{"slab"}, Optional: true}
	KSM         = Group{Prefix: "node_ksmd_", Help: "Merging of equal pages.", Source: "/sys/kernel/mm/ksm"}
	SwapDevices = Group{Prefix: "node_swap_", Help: "Swap areas.", Source: "/proc/swaps", Labels: []string{"device", "swap_type"}}
)

// Disks.
var (
	DiskInfo = Group{Prefix: "node_disk_", Help: "What the block devices are: model, serial number, file system, logical volume; caches of ATA disks.", Source: "/run/udev/data, /sys/block", Labels: []string{"device", "lv_layer", "lv_name", "major", "minor", "model", "name", "path", "revision", "rotational", "serial", "type", "usage", "uuid", "version", "vg_name", "wwn"}, Optional: true}
)

// Network.
var (
	Netstat        = Group{Prefix: "node_netstat_", Help: "Counters of the protocols, as the kernel calls them.", Source: "/proc/net/netstat, snmp, snmp6", Counters: true, Gauges: []string{"Ip_Forwarding"}}
	Sockstat       = Group{Prefix: "node_sockstat_", Help: "Sockets and fragments by protocol.", Source: "/proc/net/sockstat, sockstat6", Optional: true}
	Softnet        = Group{Prefix: "node_softnet_", Help: "Packets that processors took from the interfaces.", Source: "/proc/net/softnet_stat", Labels: []string{"cpu"}}
	NetDev         = Group{Prefix: "node_network_", Help: "Rarer counters of the interfaces.", Source: "/proc/net/dev, /sys/class/net", Labels: []string{"device"}, Optional: true}
	NetClass       = Group{Prefix: "node_network_", Help: "State of the interfaces.", Source: "/sys/class/net", Labels: []string{"address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"}}
	NetSettings    = Group{Prefix: "node_network_", Help: "Further settings of the interfaces.", Source: "/sys/class/net", Labels: []string{"address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"}, Optional: true}
	Bonding        = Group{Prefix: "node_bonding_", Help: "Interfaces below a bond, and those that work.", Source: "/sys/class/net/*/bonding", Labels: []string{"master"}}
	ARP            = Group{Prefix: "node_arp_", Help: "Neighbours known by ARP.", Source: "/proc/net/arp", Labels: []string{"device"}}
	Lnstat         = Group{Prefix: "node_lnstat_", Help: "Counters of neighbour caches, routes and connection tracking, by processor.", Source: "/proc/net/stat", Labels: []string{"cpu", "subsystem"}, Optional: true}
	Conntrack      = Group{Prefix: "node_nf_conntrack_", Help: "Connections that netfilter tracks.", Source: "/proc/sys/net/netfilter, /proc/net/stat/nf_conntrack"}
	ConntrackStats = Group{Prefix: "node_nf_conntrack_", Help: "Counters of connection tracking, summed over the processors.", Source: "/proc/sys/net/netfilter, /proc/net/stat/nf_conntrack", Optional: true}
	Xfrm           = Group{Prefix: "node_xfrm_", Help: "Packets that IPsec could not handle.", Source: "/proc/net/xfrm_stat", Optional: true}
	TCPStates      = Group{Prefix: "node_tcp_", Help: "TCP sockets by state, and the bytes in their queues.", Source: "sock_diag(7), /proc/net/tcp, tcp6", Labels: []string{"state"}}
	UDPQueues      = Group{Prefix: "node_udp_", Help: "Bytes that wait in the queues of UDP sockets.", Source: "/proc/net/udp, udp6", Labels: []string{"ip", "queue"}, Optional: true}
	IPVS           = Group{Prefix: "node_ipvs_", Help: "The kernel's load balancer and its back ends.", Source: "/proc/net/ip_vs, ip_vs_stats", Labels: []string{"local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"}}
)

// File systems, volumes and remote storage.
var (
	ZFS        = Group{Prefix: "node_zfs_", Help: "Counters of OpenZFS: the file without \"stats\", and the name there.", Source: "/proc/spl/kstat/zfs", Labels: []string{"dataset", "state", "zpool"}, Untyped: true, Gauges: []string{"zpool_state"}}
	Btrfs      = Group{Prefix: "node_btrfs_", Help: "Space, devices and commits of Btrfs.", Source: "/sys/fs/btrfs", Labels: []string{"block_group_type", "device", "label", "mode", "type", "uuid"}}
	XFS        = Group{Prefix: "node_xfs_", Help: "Operations of XFS.", Source: "/sys/fs/xfs", Labels: []string{"device"}}
	Bcache     = Group{Prefix: "node_bcache_", Help: "Caches of bcache, their hits and their writeback.", Source: "/sys/fs/bcache", Labels: []string{"backing_device", "cache_device", "uuid"}}
	Bcachefs   = Group{Prefix: "node_bcachefs_", Help: "Counters of bcachefs since the file system was made, and its devices.", Source: "/sys/fs/bcachefs", Labels: []string{"algorithm", "data_type", "device", "error_type", "label", "operation", "state", "type", "uuid"}, Optional: true}
	NFS        = Group{Prefix: "node_nfs_", Help: "Calls of the NFS client.", Source: "/proc/net/rpc/nfs", Labels: []string{"method", "proto", "protocol"}}
	NFSD       = Group{Prefix: "node_nfsd_", Help: "Calls, caches and threads of the NFS server.", Source: "/proc/net/rpc/nfsd", Labels: []string{"error", "method", "proto"}}
	Mountstats = Group{Prefix: "node_mountstats_nfs_", Help: "Events, bytes, transport and operations of each NFS mount.", Source: "/proc/self/mountstats", Labels: []string{"export", "mountaddr", "operation", "protocol", "transport"}, Optional: true}
	MD         = Group{Prefix: "node_md_", Help: "Software RAID: state, disks, progress.", Source: "/proc/mdstat, /sys/block/md*/md", Labels: []string{"device", "state"}}
	DRBD       = Group{Prefix: "node_drbd_", Help: "Replicated block devices (DRBD 8).", Source: "/proc/drbd", Labels: []string{"device", "node"}}
	Multipath  = Group{Prefix: "node_dmmultipath_", Help: "Block devices reached over several paths.", Source: "/sys/block/dm-*", Labels: []string{"device", "path", "state", "sysfs_name", "uuid"}}
	Tape       = Group{Prefix: "node_tape_", Help: "Tape drives.", Source: "/sys/class/scsi_tape", Labels: []string{"device"}}
	NVMe       = Group{Prefix: "node_nvme_", Help: "NVMe controllers and namespaces.", Source: "/sys/class/nvme", Labels: []string{"ana_state", "cntlid", "device", "firmware_revision", "model", "nsid", "serial", "state"}}
)

// Sensors and power.
var (
	Hwmon       = Group{Prefix: "node_hwmon_", Help: "Sensors of the hardware: kind, and the attribute of the kernel with its unit.", Source: "/sys/class/hwmon", Labels: []string{"chip", "chip_name", "label", "sensor"}}
	Thermal     = Group{Prefix: "node_thermal_zone_", Help: "Temperature of the thermal zones, in degrees Celsius.", Source: "/sys/class/thermal", Labels: []string{"type", "zone"}}
	Cooling     = Group{Prefix: "node_cooling_device_", Help: "How far cooling devices are turned on.", Source: "/sys/class/thermal", Labels: []string{"name", "type"}}
	PowerSupply = Group{Prefix: "node_power_supply_", Help: "Batteries and mains.", Source: "/sys/class/power_supply", Labels: []string{"capacity_level", "charge_type", "health", "manufacturer", "model_name", "power_supply", "scope", "serial_number", "status", "technology", "type", "usb_type"}}
	Rapl        = Group{Prefix: "node_rapl_", Help: "Energy that packages, cores and memory took.", Source: "/sys/class/powercap", Labels: []string{"index", "path"}}
	Edac        = Group{Prefix: "node_edac_", Help: "Errors of the memory.", Source: "/sys/devices/system/edac", Labels: []string{"channel", "controller", "csrow", "dimm_label"}}
	Watchdog    = Group{Prefix: "node_watchdog_", Help: "Watchdog timers.", Source: "/sys/class/watchdog", Labels: []string{"identity", "name", "options", "pretimeout_governor", "state", "status"}}
)

// Fabrics.
var (
	InfiniBand   = Group{Prefix: "node_infiniband_", Help: "Counters of InfiniBand ports.", Source: "/sys/class/infiniband", Labels: []string{"board_id", "device", "firmware_version", "hca_type", "port"}}
	FibreChannel = Group{Prefix: "node_fibrechannel_", Help: "Counters of Fibre Channel hosts.", Source: "/sys/class/fc_host", Labels: []string{"dev_loss_tmo", "fabric_name", "fc_host", "port_id", "port_name", "port_state", "port_type", "speed", "supported_classes", "supported_speeds", "symbolic_name"}}
	PCIDevice    = Group{Prefix: "node_pcidevice_", Help: "Links and virtual functions of PCI devices.", Source: "/sys/bus/pci/devices", Labels: []string{"bus", "device", "function", "segment"}, Optional: true}
)

// The system as a whole.
var (
	Uname        = Group{Prefix: "node_uname_", Help: "Name and kernel of the host; the value is 1.", Source: "/proc/sys/kernel", Labels: []string{"domainname", "machine", "nodename", "release", "sysname", "version"}}
	OSRelease    = Group{Prefix: "node_os_", Help: "Release of the operating system.", Source: "os-release", Labels: []string{"build_id", "id", "id_like", "image_id", "image_version", "name", "pretty_name", "variant", "variant_id", "version", "version_codename", "version_id"}}
	DMI          = Group{Prefix: "node_dmi_", Help: "What the firmware says of the machine; the value is 1.", Source: "/sys/class/dmi/id", Labels: []string{"bios_date", "bios_release", "bios_vendor", "bios_version", "board_asset_tag", "board_name", "board_serial", "board_vendor", "board_version", "chassis_asset_tag", "chassis_serial", "chassis_vendor", "chassis_version", "product_family", "product_name", "product_serial", "product_sku", "product_uuid", "product_version", "system_vendor"}, Optional: true}
	Cgroups      = Group{Prefix: "node_cgroups_", Help: "Control groups by controller.", Source: "/proc/cgroups", Labels: []string{"subsys_name"}, Optional: true}
	SELinux      = Group{Prefix: "node_selinux_", Help: "Whether SELinux is on and enforcing.", Source: "/sys/fs/selinux, /etc/selinux/config"}
	EntropyPool  = Group{Prefix: "node_entropy_", Help: "Size of the entropy pool.", Source: "/proc/sys/kernel/random"}
	KernelHung   = Group{Prefix: "node_kernel_hung_", Help: "Tasks that the kernel found hung.", Source: "/proc/sys/kernel/hung_task_detect_count"}
	Clocksource  = Group{Prefix: "node_time_clocksource_", Help: "Sources of the kernel's clock; the value is 1.", Source: "/sys/devices/system/clocksource", Labels: []string{"clocksource", "device"}, Optional: true}
	TimeZone     = Group{Prefix: "node_time_zone_", Help: "How far the local time is ahead of UTC.", Source: "/etc/localtime", Labels: []string{"time_zone"}, Optional: true}
	Timex        = Group{Prefix: "node_timex_", Help: "How the clock is kept.", Source: "adjtimex(2)"}
	TimexPPS     = Group{Prefix: "node_timex_", Help: "Pulse per second signal and other details of the clock.", Source: "adjtimex(2)", Optional: true}
	Systemd      = Group{Prefix: "node_systemd_", Help: "Units of systemd: how many are in which state, and the failed ones by name (20 at the most).", Source: "the system bus", Labels: []string{"name", "state", "type"}}
	SystemdUnits = Group{Prefix: "node_systemd_", Help: "The state of each unit of systemd.", Source: "the system bus", Labels: []string{"name", "state", "type"}, Optional: true}
	Sysctl       = Group{Prefix: "node_sysctl_", Help: "A few limits of the kernel.", Source: "/proc/sys", Labels: []string{"index", "name", "value"}, Optional: true, Untyped: true, Gauges: []string{"info"}}
)

// groups lists every Group above; a test holds it complete.
var groups = []*Group{
	&CPUDetail, &CPUInfo, &CPUScaling, &CPUVulnerabilities, &Schedstat, &Softirqs,
	&InterruptLines, &PressureIRQ, &Meminfo, &MeminfoNUMA, &Zoneinfo, &Buddyinfo,
	&Slabinfo, &KSM, &SwapDevices, &DiskInfo, &Netstat, &Sockstat, &Softnet,
	&NetDev, &NetClass, &NetSettings, &Bonding, &ARP, &Lnstat, &Conntrack, &ConntrackStats,
	&Xfrm, &TCPStates, &UDPQueues, &IPVS, &ZFS, &Btrfs, &XFS,
	&Bcache, &Bcachefs, &NFS, &NFSD, &Mountstats, &MD,
	&DRBD, &Multipath, &Tape, &NVMe, &Hwmon, &Thermal,
	&Cooling, &PowerSupply, &Rapl, &Edac, &Watchdog, &InfiniBand,
	&FibreChannel, &PCIDevice, &Uname, &OSRelease, &DMI, &Cgroups,
	&SELinux, &EntropyPool, &KernelHung, &Clocksource, &TimeZone, &Timex, &TimexPPS, &Sysctl, &Systemd, &SystemdUnits,
}
