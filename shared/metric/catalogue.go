package metric

// The families that the agent gathers. Names, labels and units are those of
// node_exporter 1.9, so that its dashboards and rules work unchanged; where
// node_exporter leaves the type open (netstat, vmstat) it is given here. The source
// of each reading is in docs/data-model.md. Other systems report the same names where
// they have the same reading, so that one rule serves the whole fleet.

// Processor time and scheduling, from /proc/stat and /proc/loadavg.
var (
	CPUSeconds      = Desc{Name: "node_cpu_seconds_total", Help: "Seconds each CPU spent in each mode.", Kind: Counter, Decimals: 2, Labels: []string{"cpu", "mode"}}
	CPUGuestSeconds = Desc{Name: "node_cpu_guest_seconds_total", Help: "Seconds each CPU ran guests; they are in user and nice as well.", Kind: Counter, Decimals: 2, Labels: []string{"cpu", "mode"}}
	ContextSwitches = Desc{Name: "node_context_switches_total", Help: "Context switches.", Kind: Counter}
	Interrupts      = Desc{Name: "node_intr_total", Help: "Interrupts serviced.", Kind: Counter}
	Forks           = Desc{Name: "node_forks_total", Help: "Processes and threads created.", Kind: Counter}
	BootTime        = Desc{Name: "node_boot_time_seconds", Help: "When the system was started, in seconds since 1970."}
	ProcsRunning    = Desc{Name: "node_procs_running", Help: "Threads that run or could run."}
	ProcsBlocked    = Desc{Name: "node_procs_blocked", Help: "Threads that wait for storage."}
	Load1           = Desc{Name: "node_load1", Help: "1 minute load average.", Decimals: 2}
	Load5           = Desc{Name: "node_load5", Help: "5 minute load average.", Decimals: 2}
	Load15          = Desc{Name: "node_load15", Help: "15 minute load average.", Decimals: 2}
)

// Pressure stall information: total time in which some (waiting) or all (stalled)
// runnable threads lacked a resource, from /proc/pressure.
var (
	PressureCPUWaiting    = Desc{Name: "node_pressure_cpu_waiting_seconds_total", Help: "Seconds in which some thread waited for a CPU.", Kind: Counter, Decimals: 6}
	PressureIOWaiting     = Desc{Name: "node_pressure_io_waiting_seconds_total", Help: "Seconds in which some thread waited for storage.", Kind: Counter, Decimals: 6}
	PressureIOStalled     = Desc{Name: "node_pressure_io_stalled_seconds_total", Help: "Seconds in which no thread could go on, for want of storage.", Kind: Counter, Decimals: 6}
	PressureMemoryWaiting = Desc{Name: "node_pressure_memory_waiting_seconds_total", Help: "Seconds in which some thread waited for memory.", Kind: Counter, Decimals: 6}
	PressureMemoryStalled = Desc{Name: "node_pressure_memory_stalled_seconds_total", Help: "Seconds in which no thread could go on, for want of memory.", Kind: Counter, Decimals: 6}
)

// Memory and swap, from /proc/meminfo: proc_meminfo(5).
var (
	MemTotal         = Desc{Name: "node_memory_MemTotal_bytes", Help: "Usable memory, in bytes."}
	MemFree          = Desc{Name: "node_memory_MemFree_bytes", Help: "Memory that nothing uses, in bytes."}
	MemAvailable     = Desc{Name: "node_memory_MemAvailable_bytes", Help: "Memory that new programs can get without swapping, as the kernel reckons, in bytes."}
	MemBuffers       = Desc{Name: "node_memory_Buffers_bytes", Help: "Block device pages in the cache, in bytes."}
	MemCached        = Desc{Name: "node_memory_Cached_bytes", Help: "File pages in the cache, in bytes."}
	MemSwapCached    = Desc{Name: "node_memory_SwapCached_bytes", Help: "Swapped pages that are in memory too, in bytes."}
	MemActive        = Desc{Name: "node_memory_Active_bytes", Help: "Pages used recently, in bytes."}
	MemInactive      = Desc{Name: "node_memory_Inactive_bytes", Help: "Pages to be reclaimed first, in bytes."}
	MemActiveAnon    = Desc{Name: "node_memory_Active_anon_bytes", Help: "Active pages of no file, in bytes."}
	MemInactiveAnon  = Desc{Name: "node_memory_Inactive_anon_bytes", Help: "Inactive pages of no file, in bytes."}
	MemActiveFile    = Desc{Name: "node_memory_Active_file_bytes", Help: "Active pages of files, in bytes."}
	MemInactiveFile  = Desc{Name: "node_memory_Inactive_file_bytes", Help: "Inactive pages of files, in bytes."}
	MemUnevictable   = Desc{Name: "node_memory_Unevictable_bytes", Help: "Pages that cannot be reclaimed, in bytes."}
	MemMlocked       = Desc{Name: "node_memory_Mlocked_bytes", Help: "Pages locked by programs, in bytes."}
	MemSwapTotal     = Desc{Name: "node_memory_SwapTotal_bytes", Help: "Swap space, in bytes."}
	MemSwapFree      = Desc{Name: "node_memory_SwapFree_bytes", Help: "Swap space that nothing uses, in bytes."}
	MemDirty         = Desc{Name: "node_memory_Dirty_bytes", Help: "Pages that wait to be written, in bytes."}
	MemWriteback     = Desc{Name: "node_memory_Writeback_bytes", Help: "Pages being written, in bytes."}
	MemAnonPages     = Desc{Name: "node_memory_AnonPages_bytes", Help: "Mapped pages of no file, in bytes."}
	MemMapped        = Desc{Name: "node_memory_Mapped_bytes", Help: "Mapped pages of files, in bytes."}
	MemShmem         = Desc{Name: "node_memory_Shmem_bytes", Help: "Shared memory and tmpfs, in bytes."}
	MemSlab          = Desc{Name: "node_memory_Slab_bytes", Help: "Kernel data structures, in bytes."}
	MemSReclaimable  = Desc{Name: "node_memory_SReclaimable_bytes", Help: "Kernel data structures that can be reclaimed, in bytes."}
	MemSUnreclaim    = Desc{Name: "node_memory_SUnreclaim_bytes", Help: "Kernel data structures that cannot be reclaimed, in bytes."}
	MemKernelStack   = Desc{Name: "node_memory_KernelStack_bytes", Help: "Kernel stacks, in bytes."}
	MemPageTables    = Desc{Name: "node_memory_PageTables_bytes", Help: "Page tables, in bytes."}
	MemCommitLimit   = Desc{Name: "node_memory_CommitLimit_bytes", Help: "Memory that may be promised when overcommit is strict, in bytes."}
	MemCommittedAS   = Desc{Name: "node_memory_Committed_AS_bytes", Help: "Memory promised to programs, in bytes."}
	MemVmallocUsed   = Desc{Name: "node_memory_VmallocUsed_bytes", Help: "Kernel memory mapped page by page, in bytes."}
	MemPercpu        = Desc{Name: "node_memory_Percpu_bytes", Help: "Memory kept per CPU, in bytes."}
	MemAnonHugePages = Desc{Name: "node_memory_AnonHugePages_bytes", Help: "Huge pages of no file, in bytes."}
	HugePagesTotal   = Desc{Name: "node_memory_HugePages_Total", Help: "Huge pages in the pool."}
	HugePagesFree    = Desc{Name: "node_memory_HugePages_Free", Help: "Huge pages in the pool that nothing uses."}
	MemHugepagesize  = Desc{Name: "node_memory_Hugepagesize_bytes", Help: "Size of a huge page, in bytes."}
)

// Paging, from /proc/vmstat.
var (
	PageFaults      = Desc{Name: "node_vmstat_pgfault", Help: "Page faults.", Kind: Counter}
	MajorPageFaults = Desc{Name: "node_vmstat_pgmajfault", Help: "Page faults that had to read storage.", Kind: Counter}
	PagedIn         = Desc{Name: "node_vmstat_pgpgin", Help: "Kibibytes read from storage.", Kind: Counter}
	PagedOut        = Desc{Name: "node_vmstat_pgpgout", Help: "Kibibytes written to storage.", Kind: Counter}
	SwappedIn       = Desc{Name: "node_vmstat_pswpin", Help: "Pages read from swap.", Kind: Counter}
	SwappedOut      = Desc{Name: "node_vmstat_pswpout", Help: "Pages written to swap.", Kind: Counter}
	OOMKills        = Desc{Name: "node_vmstat_oom_kill", Help: "Processes killed for want of memory.", Kind: Counter}
)

// Disk input and output, from /proc/diskstats (Linux, Documentation/admin-guide/iostats.rst).
var (
	DiskReads             = Desc{Name: "node_disk_reads_completed_total", Help: "Reads completed.", Kind: Counter, Labels: []string{"device"}}
	DiskReadsMerged       = Desc{Name: "node_disk_reads_merged_total", Help: "Reads merged with a neighbour.", Kind: Counter, Labels: []string{"device"}}
	DiskReadBytes         = Desc{Name: "node_disk_read_bytes_total", Help: "Bytes read.", Kind: Counter, Labels: []string{"device"}}
	DiskReadSeconds       = Desc{Name: "node_disk_read_time_seconds_total", Help: "Seconds spent by all reads.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
	DiskWrites            = Desc{Name: "node_disk_writes_completed_total", Help: "Writes completed.", Kind: Counter, Labels: []string{"device"}}
	DiskWritesMerged      = Desc{Name: "node_disk_writes_merged_total", Help: "Writes merged with a neighbour.", Kind: Counter, Labels: []string{"device"}}
	DiskWrittenBytes      = Desc{Name: "node_disk_written_bytes_total", Help: "Bytes written.", Kind: Counter, Labels: []string{"device"}}
	DiskWriteSeconds      = Desc{Name: "node_disk_write_time_seconds_total", Help: "Seconds spent by all writes.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
	DiskIONow             = Desc{Name: "node_disk_io_now", Help: "Requests in progress.", Labels: []string{"device"}}
	DiskIOSeconds         = Desc{Name: "node_disk_io_time_seconds_total", Help: "Seconds in which a request was in progress.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
	DiskIOWeightedSeconds = Desc{Name: "node_disk_io_time_weighted_seconds_total", Help: "Seconds that requests were in progress, each counted.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
	DiskDiscards          = Desc{Name: "node_disk_discards_completed_total", Help: "Discards completed.", Kind: Counter, Labels: []string{"device"}}
	DiskDiscardsMerged    = Desc{Name: "node_disk_discards_merged_total", Help: "Discards merged with a neighbour.", Kind: Counter, Labels: []string{"device"}}
	DiskDiscardedSectors  = Desc{Name: "node_disk_discarded_sectors_total", Help: "Sectors of 512 bytes discarded.", Kind: Counter, Labels: []string{"device"}}
	DiskDiscardSeconds    = Desc{Name: "node_disk_discard_time_seconds_total", Help: "Seconds spent by all discards.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
	DiskFlushes           = Desc{Name: "node_disk_flush_requests_total", Help: "Flush requests completed.", Kind: Counter, Labels: []string{"device"}}
	DiskFlushSeconds      = Desc{Name: "node_disk_flush_requests_time_seconds_total", Help: "Seconds spent by all flush requests.", Kind: Counter, Decimals: 3, Labels: []string{"device"}}
)

// File systems, from statfs(2) of the mount points of /proc/1/mountinfo. Those on the
// network or in user space have ReadOnly alone.
var (
	FilesystemSize      = Desc{Name: "node_filesystem_size_bytes", Help: "Size, in bytes.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemFree      = Desc{Name: "node_filesystem_free_bytes", Help: "Free space, in bytes.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemAvail     = Desc{Name: "node_filesystem_avail_bytes", Help: "Free space for programs that are not root, in bytes.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemFiles     = Desc{Name: "node_filesystem_files", Help: "Number of files that fit.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemFilesFree = Desc{Name: "node_filesystem_files_free", Help: "Number of files that still fit.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemReadOnly  = Desc{Name: "node_filesystem_readonly", Help: "1 when mounted read-only.", Labels: []string{"device", "fstype", "mountpoint"}}
	FilesystemError     = Desc{Name: "node_filesystem_device_error", Help: "1 when the file system did not tell its size.", Labels: []string{"device", "fstype", "mountpoint"}}
)

// Network interfaces, from /proc/net/dev.
var (
	NetworkReceiveBytes    = Desc{Name: "node_network_receive_bytes_total", Help: "Bytes received.", Kind: Counter, Labels: []string{"device"}}
	NetworkReceivePackets  = Desc{Name: "node_network_receive_packets_total", Help: "Packets received.", Kind: Counter, Labels: []string{"device"}}
	NetworkReceiveErrors   = Desc{Name: "node_network_receive_errs_total", Help: "Packets that could not be received.", Kind: Counter, Labels: []string{"device"}}
	NetworkReceiveDrops    = Desc{Name: "node_network_receive_drop_total", Help: "Packets dropped that were to be received.", Kind: Counter, Labels: []string{"device"}}
	NetworkTransmitBytes   = Desc{Name: "node_network_transmit_bytes_total", Help: "Bytes transmitted.", Kind: Counter, Labels: []string{"device"}}
	NetworkTransmitPackets = Desc{Name: "node_network_transmit_packets_total", Help: "Packets transmitted.", Kind: Counter, Labels: []string{"device"}}
	NetworkTransmitErrors  = Desc{Name: "node_network_transmit_errs_total", Help: "Packets that could not be transmitted.", Kind: Counter, Labels: []string{"device"}}
	NetworkTransmitDrops   = Desc{Name: "node_network_transmit_drop_total", Help: "Packets dropped that were to be transmitted.", Kind: Counter, Labels: []string{"device"}}
)

// Sockets, from /proc/net/sockstat and sockstat6.
var (
	SocketsUsed = Desc{Name: "node_sockstat_sockets_used", Help: "Sockets of all kinds."}
	TCPInUse    = Desc{Name: "node_sockstat_TCP_inuse", Help: "TCP sockets in use (IPv4)."}
	TCPOrphan   = Desc{Name: "node_sockstat_TCP_orphan", Help: "TCP sockets that no program holds."}
	TCPTimeWait = Desc{Name: "node_sockstat_TCP_tw", Help: "TCP sockets in TIME_WAIT."}
	TCPAlloc    = Desc{Name: "node_sockstat_TCP_alloc", Help: "TCP sockets allocated."}
	TCPMem      = Desc{Name: "node_sockstat_TCP_mem_bytes", Help: "Memory of TCP buffers, in bytes."}
	UDPInUse    = Desc{Name: "node_sockstat_UDP_inuse", Help: "UDP sockets in use (IPv4)."}
	UDPMem      = Desc{Name: "node_sockstat_UDP_mem_bytes", Help: "Memory of UDP buffers, in bytes."}
	TCP6InUse   = Desc{Name: "node_sockstat_TCP6_inuse", Help: "TCP sockets in use (IPv6)."}
	UDP6InUse   = Desc{Name: "node_sockstat_UDP6_inuse", Help: "UDP sockets in use (IPv6)."}
)

// Protocols, from /proc/net/snmp (RFC 1213, RFC 4113).
var (
	TCPEstablished         = Desc{Name: "node_netstat_Tcp_CurrEstab", Help: "Established TCP connections."}
	TCPActiveOpens         = Desc{Name: "node_netstat_Tcp_ActiveOpens", Help: "TCP connections opened from here.", Kind: Counter}
	TCPPassiveOpens        = Desc{Name: "node_netstat_Tcp_PassiveOpens", Help: "TCP connections opened by peers.", Kind: Counter}
	TCPInSegments          = Desc{Name: "node_netstat_Tcp_InSegs", Help: "TCP segments received.", Kind: Counter}
	TCPOutSegments         = Desc{Name: "node_netstat_Tcp_OutSegs", Help: "TCP segments sent.", Kind: Counter}
	TCPRetransmits         = Desc{Name: "node_netstat_Tcp_RetransSegs", Help: "TCP segments sent again.", Kind: Counter}
	TCPInErrors            = Desc{Name: "node_netstat_Tcp_InErrs", Help: "Bad TCP segments received.", Kind: Counter}
	TCPOutResets           = Desc{Name: "node_netstat_Tcp_OutRsts", Help: "TCP resets sent.", Kind: Counter}
	UDPInDatagrams         = Desc{Name: "node_netstat_Udp_InDatagrams", Help: "UDP datagrams received.", Kind: Counter}
	UDPOutDatagrams        = Desc{Name: "node_netstat_Udp_OutDatagrams", Help: "UDP datagrams sent.", Kind: Counter}
	UDPNoPorts             = Desc{Name: "node_netstat_Udp_NoPorts", Help: "UDP datagrams to a port nobody listens on.", Kind: Counter}
	UDPInErrors            = Desc{Name: "node_netstat_Udp_InErrors", Help: "UDP datagrams that could not be delivered.", Kind: Counter}
	UDPReceiveBufferErrors = Desc{Name: "node_netstat_Udp_RcvbufErrors", Help: "UDP datagrams dropped because a receive buffer was full.", Kind: Counter}
	UDPSendBufferErrors    = Desc{Name: "node_netstat_Udp_SndbufErrors", Help: "UDP datagrams dropped because a send buffer was full.", Kind: Counter}
)

// The system as a whole.
var (
	Time           = Desc{Name: "node_time_seconds", Help: "The clock of the host, in seconds since 1970.", Decimals: 3}
	FileHandles    = Desc{Name: "node_filefd_allocated", Help: "File handles in use."}
	FileHandlesMax = Desc{Name: "node_filefd_maximum", Help: "File handles that can be in use."}
	Entropy        = Desc{Name: "node_entropy_available_bits", Help: "Bits of entropy in the pool."}
	Threads        = Desc{Name: "node_processes_threads", Help: "Threads of all processes."}
)

// Processes and control groups at the top (agent/probe/process). Processes of one name and user are counted together; a control
// group is a service, a container or a user.
var (
	Processes       = Desc{Name: "node_processes_pids", Help: "Processes."}
	ProcessesState  = Desc{Name: "node_processes_state", Help: "Processes by state, as proc_pid_stat(5) has it.", Labels: []string{"state"}}
	ProcessesMax    = Desc{Name: "node_processes_max_processes", Help: "Number below which process ids stay."}
	ThreadsMax      = Desc{Name: "node_processes_max_threads", Help: "Threads that there can be."}
	ProcessCPU      = Desc{Name: "atalaya_process_cpu_seconds_total", Help: "CPU time of the processes of one name and user, those that ended included.", Kind: Counter, Decimals: 2, Labels: []string{"name", "user"}}
	ProcessResident = Desc{Name: "atalaya_process_resident_memory_bytes", Help: "Resident memory of the processes, shared pages counted for each, in bytes.", Labels: []string{"name", "user"}}
	ProcessCount    = Desc{Name: "atalaya_process_count", Help: "Processes of the name and user.", Labels: []string{"name", "user"}}
	ProcessThreads  = Desc{Name: "atalaya_process_threads", Help: "Threads of the processes.", Labels: []string{"name", "user"}}

	CgroupProcesses      = Desc{Name: "atalaya_cgroup_processes", Help: "Processes of the control group.", Labels: []string{"container", "unit"}}
	CgroupCPU            = Desc{Name: "atalaya_cgroup_cpu_seconds_total", Help: "CPU time of the control group.", Kind: Counter, Decimals: 6, Labels: []string{"container", "unit"}}
	CgroupThrottled      = Desc{Name: "atalaya_cgroup_cpu_throttled_seconds_total", Help: "Seconds in which its limit kept the control group from running.", Kind: Counter, Decimals: 6, Labels: []string{"container", "unit"}}
	CgroupMemory         = Desc{Name: "atalaya_cgroup_memory_bytes", Help: "Memory charged to the control group, in bytes.", Labels: []string{"container", "unit"}}
	CgroupMemoryLimit    = Desc{Name: "atalaya_cgroup_memory_limit_bytes", Help: "Memory that the control group may have, in bytes; absent without a limit.", Labels: []string{"container", "unit"}}
	CgroupOOMKills       = Desc{Name: "atalaya_cgroup_oom_kills_total", Help: "Processes of the control group killed for want of memory.", Kind: Counter, Labels: []string{"container", "unit"}}
	CgroupIORead         = Desc{Name: "atalaya_cgroup_io_read_bytes_total", Help: "Bytes that the control group read from devices.", Kind: Counter, Labels: []string{"container", "unit"}}
	CgroupIOWritten      = Desc{Name: "atalaya_cgroup_io_written_bytes_total", Help: "Bytes that the control group wrote to devices.", Kind: Counter, Labels: []string{"container", "unit"}}
	CgroupPressureCPU    = Desc{Name: "atalaya_cgroup_pressure_cpu_waiting_seconds_total", Help: "Seconds in which some thread of the control group waited for a CPU.", Kind: Counter, Decimals: 6, Labels: []string{"container", "unit"}}
	CgroupPressureIO     = Desc{Name: "atalaya_cgroup_pressure_io_waiting_seconds_total", Help: "Seconds in which some thread of the control group waited for storage.", Kind: Counter, Decimals: 6, Labels: []string{"container", "unit"}}
	CgroupPressureMemory = Desc{Name: "atalaya_cgroup_pressure_memory_waiting_seconds_total", Help: "Seconds in which some thread of the control group waited for memory.", Kind: Counter, Decimals: 6, Labels: []string{"container", "unit"}}
)

// The agent itself.
var (
	AgentCPUSeconds = Desc{Name: "atalaya_agent_cpu_seconds_total", Help: "CPU time of the agent.", Kind: Counter, Decimals: 6}
	AgentResident   = Desc{Name: "atalaya_agent_resident_memory_bytes", Help: "Memory of the agent, program text included, in bytes."}
	AgentAnonymous  = Desc{Name: "atalaya_agent_anonymous_memory_bytes", Help: "Memory of the agent that no file holds, in bytes."}
	AgentHeap       = Desc{Name: "atalaya_agent_heap_bytes", Help: "Memory of living and dead objects, in bytes."}
	AgentGoroutines = Desc{Name: "atalaya_agent_goroutines", Help: "Goroutines."}
	TextfileError   = Desc{Name: "node_textfile_scrape_error", Help: "1 when a file of the textfile folder could not be read."}
	TextfileTime    = Desc{Name: "node_textfile_mtime_seconds", Help: "When a file of the textfile folder was changed, in seconds since 1970.", Decimals: 3, Labels: []string{"file"}}
	AgentDegraded   = Desc{Name: "atalaya_agent_degraded", Help: "What the agent gives up to stay within its budget: 0 nothing, 1 processes, 2 slow metrics too, 3 most inventories too."}
	AgentInfo       = Desc{Name: "atalaya_agent_build_info", Help: "1; the labels name the build.", Labels: []string{"goversion", "version"}}
	ProbeSuccess    = Desc{Name: "node_scrape_collector_success", Help: "1 when the probe read all that it looks for.", Labels: []string{"collector"}}
	ProbeSeconds    = Desc{Name: "node_scrape_collector_duration_seconds", Help: "How long the probes of a collector took; printed by --compat node.", Labels: []string{"collector"}}
)

// families lists every Desc above; a test holds it complete.
var families = []*Desc{
	&CPUSeconds, &CPUGuestSeconds, &ContextSwitches, &Interrupts,
	&Forks, &BootTime, &ProcsRunning, &ProcsBlocked,
	&Load1, &Load5, &Load15, &PressureCPUWaiting,
	&PressureIOWaiting, &PressureIOStalled, &PressureMemoryWaiting, &PressureMemoryStalled,
	&MemTotal, &MemFree, &MemAvailable, &MemBuffers,
	&MemCached, &MemSwapCached, &MemActive, &MemInactive,
	&MemActiveAnon, &MemInactiveAnon, &MemActiveFile, &MemInactiveFile,
	&MemUnevictable, &MemMlocked, &MemSwapTotal, &MemSwapFree,
	&MemDirty, &MemWriteback, &MemAnonPages, &MemMapped,
	&MemShmem, &MemSlab, &MemSReclaimable, &MemSUnreclaim,
	&MemKernelStack, &MemPageTables, &MemCommitLimit, &MemCommittedAS,
	&MemVmallocUsed, &MemPercpu, &MemAnonHugePages, &HugePagesTotal,
	&HugePagesFree, &MemHugepagesize, &PageFaults, &MajorPageFaults,
	&PagedIn, &PagedOut, &SwappedIn, &SwappedOut,
	&OOMKills, &DiskReads, &DiskReadsMerged, &DiskReadBytes,
	&DiskReadSeconds, &DiskWrites, &DiskWritesMerged, &DiskWrittenBytes,
	&DiskWriteSeconds, &DiskIONow, &DiskIOSeconds, &DiskIOWeightedSeconds,
	&DiskDiscards, &DiskDiscardsMerged, &DiskDiscardedSectors, &DiskDiscardSeconds,
	&DiskFlushes, &DiskFlushSeconds, &FilesystemSize, &FilesystemFree,
	&FilesystemAvail, &FilesystemFiles, &FilesystemFilesFree, &FilesystemReadOnly,
	&FilesystemError, &NetworkReceiveBytes, &NetworkReceivePackets, &NetworkReceiveErrors,
	&NetworkReceiveDrops, &NetworkTransmitBytes, &NetworkTransmitPackets, &NetworkTransmitErrors,
	&NetworkTransmitDrops, &SocketsUsed, &TCPInUse, &TCPOrphan,
	&TCPTimeWait, &TCPAlloc, &TCPMem, &UDPInUse,
	&UDPMem, &TCP6InUse, &UDP6InUse, &TCPEstablished,
	&TCPActiveOpens, &TCPPassiveOpens, &TCPInSegments, &TCPOutSegments,
	&TCPRetransmits, &TCPInErrors, &TCPOutResets, &UDPInDatagrams,
	&UDPOutDatagrams, &UDPNoPorts, &UDPInErrors, &UDPReceiveBufferErrors,
	&UDPSendBufferErrors, &Time, &FileHandles, &FileHandlesMax,
	&Entropy, &Threads, &Processes, &ProcessesState,
	&ProcessesMax, &ThreadsMax, &ProcessCPU, &ProcessResident,
	&ProcessCount, &ProcessThreads, &CgroupProcesses, &CgroupCPU,
	&CgroupThrottled, &CgroupMemory, &CgroupMemoryLimit, &CgroupOOMKills,
	&CgroupIORead, &CgroupIOWritten, &CgroupPressureCPU, &CgroupPressureIO,
	&CgroupPressureMemory, &AgentCPUSeconds, &AgentResident,
	&AgentAnonymous, &AgentHeap, &AgentGoroutines, &AgentInfo, &AgentDegraded, &TextfileError, &TextfileTime,
	&ProbeSuccess, &ProbeSeconds,
}

// Families returns the descriptions of all series that an agent may report. The
// caller must not change them.
func Families() []*Desc { return families }
