package osinfo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	cpuinfoFile  = "/proc/cpuinfo"
	dmiFolder    = "/sys/class/dmi/id/"
	instanceData = "/run/cloud-init/instance-data.json" // without what is secret (cloud-init's documentation)
	instanceFile = "/var/lib/cloud/data/instance-id"
)

// errNoKernelFiles: without them a bare machine cannot be told from any other.
var errNoKernelFiles = fmt.Errorf("neither /proc nor /sys tells of it: %w", errors.ErrUnsupported)

// virtualization says what the system runs in. release is that of the running kernel.
func virtualization(h *probe.Host, release string) (*facts.VirtualizationRow, error) {
	inside, below := container(h, release), hypervisor(h)
	row := &facts.VirtualizationRow{Role: "machine", Hypervisor: below.kind, Container: inside.kind, Evidence: below.evidence}
	if below.kind != "" {
		row.Role = "guest"
	}
	if inside.kind != "" {
		row.Role = "container"
		if below.kind == "" {
			row.Evidence = inside.evidence
		}
	}
	switch {
	case strings.Contains(h.ReadString("/proc/xen/capabilities"), "control_d"):
		row.Host = "xen"
	case exists(h, "/sys/class/misc/kvm"), exists(h, "/dev/kvm"):
		row.Host = "kvm"
	}
	firmwareCloud(h, row)
	problem := initCloud(h, row)
	if row.Role == "machine" {
		if err := noMachine(h); err != nil {
			return nil, errors.Join(err, problem)
		}
	}
	return row, problem
}

// noMachine says why what looks like a bare machine may be none: the last place that tells
// of a hypervisor could not be read.
func noMachine(h *probe.Host) error {
	_, err := h.ReadFile(cpuinfoFile)
	switch {
	case probe.Absent(err) && exists(h, "/sys/devices"):
		return nil
	case probe.Absent(err):
		return errNoKernelFiles
	}
	return err
}

// cloudMark is how a provider signs the firmware of its machines, and which of its
// values are the instance's id and type; "" for none.
type cloudMark struct {
	file, text string // the file of dmiFolder begins with the text
	cloud      string
	id, kind   string
}

// cloudMarks follow the documentation of the providers and cloud-init's ds-identify.
var cloudMarks = []cloudMark{
	{"sys_vendor", "Amazon EC2", "aws", "board_asset_tag", "product_name"},
	{"bios_version", "4.2.amazon", "aws", "", "product_name"},
	{"bios_version", "4.11.amazon", "aws", "", "product_name"},
	{"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "azure", "product_uuid", ""},
	{"product_name", "Google Compute Engine", "gce", "", ""},
	{"chassis_asset_tag", "OracleCloud.com", "oracle", "", ""},
	{"sys_vendor", "Alibaba Cloud", "aliyun", "product_serial", ""},
	{"sys_vendor", "DigitalOcean", "digitalocean", "product_serial", ""},
	{"sys_vendor", "Hetzner", "hetzner", "product_serial", ""},
	{"sys_vendor", "Vultr", "vultr", "product_serial", ""},
	{"sys_vendor", "Scaleway", "scaleway", "product_uuid", "product_name"},
	{"sys_vendor", "UpCloud", "upcloud", "", ""},
	{"sys_vendor", "Akamai", "akamai", "product_serial", ""},
	{"sys_vendor", "Linode", "akamai", "product_serial", ""},
	{"sys_vendor", "Tencent Cloud", "tencent", "product_serial", ""},
	{"chassis_asset_tag", "HUAWEICLOUD", "huawei", "product_uuid", ""},
	{"product_name", "Exoscale", "exoscale", "product_uuid", ""},
	{"product_name", "CloudStack", "cloudstack", "product_uuid", ""},
	{"chassis_asset_tag", "ibmcloud", "ibm", "", ""},
	{"product_name", "OpenStack", "openstack", "product_uuid", ""},
	{"chassis_asset_tag", "OpenTelekomCloud", "openstack", "product_uuid", ""},
}

func firmwareCloud(h *probe.Host, row *facts.VirtualizationRow) {
	for _, m := range cloudMarks {
		if !strings.HasPrefix(h.ReadString(dmiFolder+m.file), m.text) {
			continue
		}
		row.Cloud = m.cloud
		if m.id != "" {
			row.InstanceID = h.ReadString(dmiFolder + m.id)
		}
		if m.kind != "" {
			row.InstanceType = h.ReadString(dmiFolder + m.kind)
		}
		if row.Cloud == "aws" && !strings.HasPrefix(row.InstanceID, "i-") {
			row.InstanceID = "" // below Xen the tag says something else
		}
		return
	}
}

// noCloud are the sources of cloud-init that are no provider, and what it writes where
// it knows none.
var noCloud = map[string]bool{"": true, "none": true, "nocloud": true, "unknown": true, "configdrive": true, "not_available": true, "n/a": true}

// initCloud takes what cloud-init has learnt from the provider and left in files; the
// service of the provider itself is never asked.
func initCloud(h *probe.Host, row *facts.VirtualizationRow) error {
	var data struct {
		Standard map[string]any `json:"v1"`
		Source   struct {
			Meta map[string]any `json:"meta_data"`
		} `json:"ds"`
	}
	b, err := h.ReadFile(instanceData)
	if err == nil {
		if json.Unmarshal(b, &data) != nil {
			return fmt.Errorf("%s: damaged: it is no JSON", instanceData) // the error would quote it
		}
		standard := func(name string) string { return text(data.Standard, name) }
		cloud := standard("cloud_name")
		if cloud == "" {
			cloud = standard("cloud-name") // before cloud-init 18.4
		}
		if noCloud[strings.ToLower(cloud)] {
			return nil
		}
		if row.Cloud == "" {
			row.Cloud = strings.ToLower(cloud)
		}
		set(&row.InstanceID, standard("instance_id"))
		set(&row.Region, standard("region"))
		set(&row.Zone, standard("availability_zone"))
		for _, name := range []string{"instance-type", "instance_type", "machine-type", "vmSize"} {
			set(&row.InstanceType, text(data.Source.Meta, name))
		}
		for _, name := range []string{"ami-id", "image-id", "image_id", "image"} {
			set(&row.Image, text(data.Source.Meta, name))
		}
		return nil
	}
	if id := firstLine([]byte(h.ReadString(instanceFile))); row.Cloud != "" && !strings.HasPrefix(id, "iid-datasource") {
		set(&row.InstanceID, id)
	}
	return nil
}

// set fills what is not known yet.
func set(to *string, value string) {
	if *to == "" && !noCloud[strings.ToLower(value)] {
		*to = value
	}
}

// maxText bounds a value of a file that anybody may have written.
const maxText = 256

func text(m map[string]any, name string) string {
	s, _ := m[name].(string) // anything else is no name
	if len(s) > maxText {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(s, ""))
}
