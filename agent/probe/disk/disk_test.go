package disk

import (
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

func TestParseDiskstats(t *testing.T) {
	f := probetest.Gives(t, func(r *probe.Report, in []byte) error { return new(diskstats).parse(r, in) })
	old := `disk_reads_completed_total sda 1
disk_reads_merged_total sda 2
disk_read_bytes_total sda 1536
disk_read_time_seconds_total sda 0.004
disk_writes_completed_total sda 5
disk_writes_merged_total sda 6
disk_written_bytes_total sda 3584
disk_write_time_seconds_total sda 0.008
disk_io_now sda 9
disk_io_time_seconds_total sda 0.01
disk_io_time_weighted_seconds_total sda 0.011
`
	f("   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n", old, true)
	f("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", old+`disk_discards_completed_total sda 12
disk_discards_merged_total sda 13
disk_discarded_sectors_total sda 14
disk_discard_time_seconds_total sda 0.015
disk_flush_requests_total sda 16
disk_flush_requests_time_seconds_total sda 0.017
`, true)
	f("8 0 sda x\n7 0 loop0 x\n", "", false)
	f("8 0\n", "", false)
	f("", "", true)
}

func TestIgnoredDevices(t *testing.T) {
	f := func(want bool, names ...string) {
		t.Helper()
		for _, n := range names {
			if ignored(n) != want {
				t.Errorf("ignored(%q) is %v", n, !want)
			}
		}
	}
	f(true, "ram0", "zram1", "loop12", "fd0", "sda1", "hdb12", "vdz3", "xvda1", "nvme0n1p2", "nvme10n12p1")
	f(false, "sda", "vda", "nvme0n1", "dm-0", "md127", "sr0", "mmcblk0", "xvda", "nbd0", "n1p2", "nvmen1p1", "p1", "d1", "1", "")
}

func FuzzParse(f *testing.F) {
	f.Add("   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n7 0 loop0 1\n")
	f.Fuzz(func(t *testing.T, in string) {
		var s diskstats
		probetest.Samples(t, s.parse, in)
	})
}

func TestFewDevicesAreReadOneByOne(t *testing.T) {
	const row = " 1 2 3 4 5 6 7 8 0 10 11"
	files := map[string]string{"proc/diskstats": "   8 0 sda" + row + "\n   8 1 sda1" + row + "\n", "sys/block/sda/stat": row + "\n"}
	root := probetest.Tree(t, files)
	h, p := probe.RootHost(root), New()
	reads := func() float64 {
		t.Helper()
		dict := metric.NewDictionary(100, nil)
		r := probe.NewReport(dict, 0)
		if err := p.Collect(t.Context(), h, r); err != nil {
			t.Fatal(err)
		}
		id, ok := dict.ID(&metric.DiskReads, "sda")
		if len(r.Samples()) != 11 || !ok {
			t.Fatalf("%d samples", len(r.Samples()))
		}
		return r.Samples()[id].Value
	}
	if v := reads(); v != 1 {
		t.Errorf("from the table: %v", v)
	}
	probetest.Write(t, root, "sys/block/sda/stat", []byte(" 9 2 3 4 5 6 7 8 0 10 11\n"))
	if v := reads(); v != 9 {
		t.Errorf("from the device: %v", v)
	}
	probetest.Write(t, root, "sys/block/sda/stat", nil)
	for range tableEvery + 2 { // the file is still open, and empty or gone
		if v := reads(); v != 9 && v != 1 {
			t.Errorf("without its file: %v", v)
		}
	}
}
