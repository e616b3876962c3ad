package osinfo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestVirtualization(t *testing.T) {
	f := func(name, archive string, want facts.VirtualizationRow) {
		t.Helper()
		s := probetest.Sections(probetest.Unpack(t, []byte(archive)), New())["virtualization"]
		if d := cmp.Diff([]facts.Row{&want}, s.Rows); d != "" {
			t.Errorf("%s is %v, -want +got:\n%s", name, s.Status, d)
		}
	}
	const cpu = "-- proc/cpuinfo --\nprocessor\t: 0\n"
	dmi := func(pairs ...string) string {
		archive := cpu
		for i := 0; i < len(pairs); i += 2 {
			archive += "-- sys/class/dmi/id/" + pairs[i] + " --\n" + pairs[i+1] + "\n"
		}
		return archive
	}
	f("bare machine", dmi("sys_vendor", "Example Inc."), facts.VirtualizationRow{Role: "machine"})
	f("host of virtual machines", dmi("sys_vendor", "Example Inc.")+"-- sys/class/misc/kvm/dev --\n10:232\n",
		facts.VirtualizationRow{Role: "machine", Host: "kvm"})
	f("EC2", dmi("sys_vendor", "Amazon EC2", "product_name", "m5.large", "board_asset_tag", "i-0123456789abcdef0"), facts.VirtualizationRow{
		Role: "guest", Hypervisor: "amazon", Cloud: "aws", InstanceID: "i-0123456789abcdef0", InstanceType: "m5.large",
		Evidence: "/sys/class/dmi/id/sys_vendor"})
	f("whole machine of EC2", dmi("sys_vendor", "Amazon EC2", "product_name", "m5.metal", "board_asset_tag", "i-0123456789abcdef0"),
		facts.VirtualizationRow{Role: "machine", Cloud: "aws", InstanceID: "i-0123456789abcdef0", InstanceType: "m5.metal"})
	f("Azure", dmi("sys_vendor", "Microsoft Corporation", "product_name", "Virtual Machine", "product_uuid", "00112233-4455",
		"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"), facts.VirtualizationRow{
		Role: "guest", Hypervisor: "microsoft", Cloud: "azure", InstanceID: "00112233-4455", Evidence: "/sys/class/dmi/id/product_name"})
	f("cloud-init", cpu+"-- sys/hypervisor/type --\nxen\n-- run/cloud-init/instance-data.json --\n"+
		`{"v1":{"cloud_name":"aws","instance_id":"i-1","region":"eu-west-1","availability_zone":"eu-west-1a"},`+
		`"ds":{"meta_data":{"instance-type":"t2.micro","ami-id":"ami-1","users":["x"]}}}`, facts.VirtualizationRow{
		Role: "guest", Hypervisor: "xen", Cloud: "aws", InstanceID: "i-1", InstanceType: "t2.micro", Region: "eu-west-1", Zone: "eu-west-1a",
		Image: "ami-1", Evidence: "/sys/hypervisor/type"})
	f("cloud-init without a cloud", cpu+"-- run/cloud-init/instance-data.json --\n"+`{"v1":{"cloud_name":"nocloud","instance_id":"x"}}`,
		facts.VirtualizationRow{Role: "machine"})
	f("damaged", cpu+"-- run/cloud-init/instance-data.json --\n{\"v1\":", facts.VirtualizationRow{Role: "machine"})
	f("instance id alone", dmi("product_name", "Google Compute Engine")+"-- var/lib/cloud/data/instance-id --\n123456\n", facts.VirtualizationRow{
		Role: "guest", Hypervisor: "google", Cloud: "gce", InstanceID: "123456", Evidence: "/sys/class/dmi/id/product_name"})
	f("container in a guest", dmi("sys_vendor", "QEMU")+"-- proc/1/environ --\nPATH=/bin\x00SECRET=x\x00container=lxc\x00", facts.VirtualizationRow{
		Role: "container", Hypervisor: "qemu", Container: "lxc", Evidence: "/sys/class/dmi/id/sys_vendor"})
	f("pod", cpu+"-- run/secrets/kubernetes.io/serviceaccount/token --\nx\n", facts.VirtualizationRow{
		Role: "container", Container: "kubernetes", Evidence: "/run/secrets/kubernetes.io/serviceaccount"})
	f("z/VM", cpu+"-- proc/sysinfo --\nManufacturer:         IBM\nVM00 Control Program: z/VM    6.4.0\n",
		facts.VirtualizationRow{Role: "guest", Hypervisor: "zvm", Evidence: "/proc/sysinfo"})
	f("PowerVM", cpu+"-- proc/device-tree/ibm,partition-name --\nlpar1\n-- proc/device-tree/hmc-managed? --\n",
		facts.VirtualizationRow{Role: "guest", Hypervisor: "powervm", Evidence: "/proc/device-tree/ibm,partition-name"})
	f("first domain of Xen", cpu+"-- sys/hypervisor/type --\nxen\n-- proc/xen/capabilities --\ncontrol_d\n",
		facts.VirtualizationRow{Role: "machine", Host: "xen"})
}

func TestVirtualizationIsUnknownWithoutKernelFiles(t *testing.T) {
	s := probetest.Sections(probe.RootHost(t.TempDir()), New())["virtualization"]
	if s.Status != facts.StatusUnsupported || s.Reason != "neither /proc nor /sys tells of it" {
		t.Errorf("%v, %q", s.Status, s.Reason)
	}
}

func TestSolarisAndItsKin(t *testing.T) {
	f := func(text, product, id, product2, version string) {
		t.Helper()
		r := detect(func(p string) []byte {
			switch p {
			case "/etc/release":
				return []byte(text)
			case "/etc/product":
				return []byte(product)
			}
			return nil
		})
		if r.id != id || r.product != product2 || r.version != version || r.family != "solaris" || r.lineage() != "solaris" {
			t.Errorf("%q gives %+v", text, r)
		}
	}
	const oracle = "\n  Copyright (c) 1983, 2018, Oracle and/or its affiliates.\n"
	f("   Oracle Solaris 11.4 X86"+oracle, "", "solaris", "Solaris", "11.4")
	f("   OmniOS v11 r151030"+oracle, "", "omnios", "OmniOS", "11")
	f("   SmartOS x86_64"+oracle, "Name: Instance\nImage: base64 14.3.0\n", "smartos", "SmartOS x86_64", "14.3.0")
	if r := detect(func(p string) []byte { return map[string][]byte{"/etc/release": []byte("Example 1.0\n")}[p] }); r.family != "" {
		t.Errorf("any file of that name is Solaris: %+v", r)
	}
}

func FuzzInstanceData(f *testing.F) {
	f.Add([]byte(`{"v1":{"cloud_name":"aws","instance_id":"i-1"},"ds":{"meta_data":{"ami-id":1}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := probe.RootHost(probetest.Tree(t, map[string]string{"run/cloud-init/instance-data.json": string(b)}))
		row := &facts.VirtualizationRow{}
		initCloud(h, row)
		if len(row.InstanceID) > maxText || len(row.Region) > maxText {
			t.Errorf("%+v", row)
		}
	})
}
