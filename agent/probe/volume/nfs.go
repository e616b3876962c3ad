package volume

import (
	"strings"

	"atalaya/agent/probe"
)

// Procedures by number: RFC 1094 section 2.2, RFC 1813 section 3, and for version 4
// of the client the order of the kernel's nfs4_procedures (fs/nfs/nfs4xdr.c), of the
// server the operations of RFC 7530, 8881 and 7862, from 3.
var (
	nfs2 = strings.Fields("Null GetAttr SetAttr Root Lookup ReadLink Read WrCache Write Create Remove Rename Link SymLink MkDir RmDir ReadDir FsStat")
	nfs3 = strings.Fields("Null GetAttr SetAttr Lookup Access ReadLink Read Write Create MkDir SymLink MkNod Remove RmDir Rename Link " +
		"ReadDir ReadDirPlus FsStat FsInfo PathConf Commit")
	nfs4Client = strings.Fields("Null Read Write Commit Open OpenConfirm OpenNoattr OpenDowngrade Close Setattr FsInfo Renew SetClientID " +
		"SetClientIDConfirm Lock Lockt Locku Access Getattr Lookup LookupRoot Remove Rename Link Symlink Create Pathconf StatFs ReadLink " +
		"ReadDir ServerCaps DelegReturn GetACL SetACL FsLocations ReleaseLockowner Secinfo FsidPresent ExchangeID CreateSession " +
		"DestroySession Sequence GetLeaseTime ReclaimComplete LayoutGet GetDeviceInfo LayoutCommit LayoutReturn SecinfoNoName " +
		"TestStateID FreeStateID GetDeviceList BindConnToSession DestroyClientID Seek Allocate DeAllocate LayoutStats Clone")
	nfs4Server = strings.Fields("- - - Access Close Commit Create DelegPurge DelegReturn GetAttr GetFH Link Lock Lockt Locku Lookup LookupRoot " +
		"Nverify Open OpenAttr OpenConfirm OpenDgrd PutFH PutPubFH PutRootFH Read ReadDir ReadLink Remove Rename Renew RestoreFH SaveFH " +
		"SecInfo SetAttr SetClientID SetClientIDConfirm Verify Write RelLockOwner")
)

// nfsLines calls take for each line of a file of /proc/net/rpc: its first word and
// the numbers behind it.
func nfsLines(b []byte, take func(word string, v []float64)) {
	for _, line := range lines(b) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		v := make([]float64, 0, len(f))
		for _, field := range f[1:] {
			n, ok := probe.ParseNumber(field)
			if !ok {
				break
			}
			v = append(v, n)
		}
		take(f[0], v)
	}
}

// procedures reports the calls by procedure; the first number says how many follow.
func procedures(g *probe.Gathering, version string, names []string, v []float64) {
	for i := 1; i < len(v) && i <= len(names); i++ {
		if names[i-1] != "-" {
			g.Add("requests_total", v[i], "method", names[i-1], "proto", version)
		}
	}
}

// numbers reports the values of a line under the keys given; "" leaves one out.
func numbers(g *probe.Gathering, v []float64, keys ...string) {
	for i, key := range keys {
		if i < len(v) && key != "" {
			g.Add(key, v[i])
		}
	}
}

func collectNFS(g *probe.Gathering) error {
	nfsLines(g.Bytes("/proc/net/rpc/nfs"), func(word string, v []float64) {
		switch word {
		case "net": // all, UDP, TCP, connections
			if len(v) == 4 {
				g.Add("packets_total", v[1], "protocol", "udp")
				g.Add("packets_total", v[2], "protocol", "tcp")
				g.Add("connections_total", v[3])
			}
		case "rpc":
			numbers(g, v, "rpcs_total", "rpc_retransmissions_total", "rpc_authentication_refreshes_total")
		case "proc2":
			procedures(g, "2", nfs2, v)
		case "proc3":
			procedures(g, "3", nfs3, v)
		case "proc4":
			procedures(g, "4", nfs4Client, v)
		}
	})
	return nil
}

func collectNFSD(g *probe.Gathering) error {
	nfsLines(g.Bytes("/proc/net/rpc/nfsd"), func(word string, v []float64) {
		switch word {
		case "rc":
			numbers(g, v, "reply_cache_hits_total", "reply_cache_misses_total", "reply_cache_nocache_total")
		case "fh":
			numbers(g, v, "file_handles_stale_total")
		case "io":
			numbers(g, v, "disk_bytes_read_total", "disk_bytes_written_total")
		case "th":
			numbers(g, v, "server_threads")
		case "ra": // size, found at each tenth of the depth, not found
			numbers(g, v, "read_ahead_cache_size_blocks")
			if len(v) == 12 {
				g.Add("read_ahead_cache_not_found_total", v[11])
			}
		case "net": // all, UDP, TCP, connections
			if len(v) == 4 {
				g.Add("packets_total", v[1], "proto", "udp")
				g.Add("packets_total", v[2], "proto", "tcp")
				g.Add("connections_total", v[3])
			}
		case "rpc": // calls, bad calls, of them by format, authentication and client
			numbers(g, v, "server_rpcs_total")
			for i, kind := range []string{"fmt", "auth", "cInt"} {
				if i+2 < len(v) {
					g.Add("rpc_errors_total", v[i+2], "error", kind)
				}
			}
		case "proc2":
			procedures(g, "2", nfs2, v)
		case "proc3":
			procedures(g, "3", nfs3, v)
		case "proc4ops":
			procedures(g, "4", nfs4Server, v)
		case "wdeleg_getattr":
			if len(v) > 0 {
				g.Add("requests_total", v[0], "method", "WdelegGetattr", "proto", "4")
			}
		}
	})
	return nil
}
