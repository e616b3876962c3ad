package kernelconf

import "strings"

// parameters are those that are always read, by folder below /proc/sys: what benchmarks
// of security ask for (CIS), and what administrators tune. Reading one costs the kernel some
// 10 us, all of them (1,300, more with many interfaces) half of an inventory's budget;
// whatever a file configures is read besides.
var parameters = list(`
kernel randomize_va_space kptr_restrict dmesg_restrict unprivileged_bpf_disabled perf_event_paranoid kexec_load_disabled modules_disabled
	sysrq core_pattern core_uses_pid panic panic_on_oops panic_on_warn pid_max threads-max shmmax shmall shmmni sem msgmax msgmnb msgmni
	tainted nmi_watchdog watchdog_thresh softlockup_panic hung_task_timeout_secs hung_task_panic numa_balancing sched_autogroup_enabled
	sched_rt_runtime_us sched_rt_period_us printk unprivileged_userns_clone apparmor_restrict_unprivileged_userns ctrl-alt-del modprobe
	io_uring_disabled ftrace_enabled task_delayacct timer_migration
kernel/yama ptrace_scope
kernel/keys maxkeys maxbytes
vm swappiness overcommit_memory overcommit_ratio overcommit_kbytes dirty_ratio dirty_background_ratio dirty_bytes dirty_background_bytes
	dirty_expire_centisecs dirty_writeback_centisecs min_free_kbytes watermark_scale_factor vfs_cache_pressure max_map_count mmap_min_addr
	mmap_rnd_bits nr_hugepages nr_overcommit_hugepages hugetlb_shm_group zone_reclaim_mode panic_on_oom oom_kill_allocating_task
	admin_reserve_kbytes user_reserve_kbytes unprivileged_userfaultfd page-cluster compaction_proactiveness
fs file-max nr_open aio-max-nr pipe-max-size pipe-user-pages-soft suid_dumpable protected_hardlinks protected_symlinks protected_fifos
	protected_regular mount-max leases-enable
fs/inotify max_user_watches max_user_instances max_queued_events
fs/mqueue msg_max msgsize_max queues_max
fs/epoll max_user_watches
crypto fips_enabled
user max_user_namespaces max_net_namespaces
net/core somaxconn netdev_max_backlog rmem_max wmem_max rmem_default wmem_default default_qdisc bpf_jit_enable bpf_jit_harden optmem_max
	netdev_budget netdev_budget_usecs busy_poll rps_sock_flow_entries
net/ipv4 ip_forward tcp_syncookies tcp_rmem tcp_wmem tcp_mem udp_mem tcp_congestion_control tcp_fin_timeout tcp_tw_reuse tcp_keepalive_time
	tcp_keepalive_intvl tcp_keepalive_probes tcp_max_syn_backlog tcp_max_tw_buckets tcp_max_orphans tcp_timestamps tcp_sack tcp_window_scaling
	tcp_ecn tcp_fastopen tcp_slow_start_after_idle tcp_mtu_probing tcp_syn_retries tcp_synack_retries tcp_retries2 tcp_rfc1337
	tcp_notsent_lowat tcp_abort_on_overflow ip_local_port_range ip_local_reserved_ports ip_nonlocal_bind ip_unprivileged_port_start
	ip_default_ttl icmp_echo_ignore_all icmp_echo_ignore_broadcasts icmp_ignore_bogus_error_responses ping_group_range ip_no_pmtu_disc
net/ipv4/neigh/default gc_thresh1 gc_thresh2 gc_thresh3
net/ipv4/conf/all rp_filter accept_redirects secure_redirects send_redirects accept_source_route log_martians arp_ignore arp_announce
	arp_filter proxy_arp route_localnet
net/ipv4/conf/default rp_filter accept_redirects secure_redirects send_redirects accept_source_route log_martians
net/ipv6 bindv6only
net/ipv6/conf/all disable_ipv6 forwarding accept_ra accept_redirects accept_source_route use_tempaddr
net/ipv6/conf/default disable_ipv6 forwarding accept_ra accept_redirects accept_source_route use_tempaddr
net/ipv6/neigh/default gc_thresh1 gc_thresh2 gc_thresh3
net/bridge bridge-nf-call-iptables bridge-nf-call-ip6tables bridge-nf-call-arptables
net/netfilter nf_conntrack_max nf_conntrack_buckets nf_conntrack_tcp_timeout_established nf_conntrack_helper
`)

// list reads a folder and the names in it; an indented line goes on with the folder before.
func list(text string) []string {
	var out []string
	dir := ""
	for line := range strings.Lines(text) {
		names := strings.Fields(line)
		if len(names) > 0 && line[0] != '\t' {
			dir, names = names[0], names[1:]
		}
		for _, n := range names {
			out = append(out, dir+"/"+n)
		}
	}
	return out
}
