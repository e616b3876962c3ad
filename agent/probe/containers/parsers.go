package containers

import (
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	domain := probe.Form{Want: "XML with a <domain>"}
	return []probe.Parser{
		{Kind: "docker-config", Help: "config.v2.json of a Docker container", Form: probe.Form{Want: `JSON with "ID"`}, Parse: probe.OfBytes(dockerFile)},
		{Kind: "podman-containers", Help: "containers.json of Podman or CRI-O", Form: probe.Form{Want: `a JSON list of containers with "id"`}, Parse: probe.OfBytes(storedFile)},
		{Kind: "oci-config", Help: "config.json of an OCI runtime, as containerd keeps it", Form: probe.Form{Want: `JSON with "mounts" or "annotations"`}, Parse: probe.OfBytes(specFile)},
		{Kind: "lxc", Help: "configuration of an LXC container", Form: probe.Form{Want: "lines lxc.NAME = VALUE", Line: `^\s*lxc\.[\w.]+\s*=|^[A-Z][\w ]*:|^ `, Some: `^\s*lxc\.|^(Name|State):`}, Parse: probe.OfBytes(parseLXC)},
		{Kind: "libvirt-domain", Help: "XML of a libvirt domain", Form: domain, Parse: probe.OfBytes(domainFile)},
		{Kind: "virsh", Help: "XML of a libvirt domain, as `virsh dumpxml` writes it", Form: domain, Parse: probe.OfBytes(domainFile)},
		{Kind: "proxmox-vm", Help: "configuration of a virtual machine of Proxmox", Form: probe.Form{Want: "lines NAME: VALUE", Line: `^[a-z][a-z0-9_-]*: |^\[[\w:-]+\]$`, Some: `^(cores|memory|sockets|ostype|boot|bootdisk|smbios1|vmgenid|scsihw|agent|(net|scsi|virtio|ide|sata)\d+): `}, Parse: probe.OfBytes(parseProxmox)},
	}
}

// errOther is for JSON or XML that is well formed and of something else.
var errOther = errors.New("it is of something else")

func dockerFile(b []byte) (*facts.ContainerRow, error) {
	row, err := parseDocker(b)
	if err == nil && row.ID == "" {
		return nil, errOther
	}
	return row, err
}

func storedFile(b []byte) ([]facts.Row, error) {
	list, err := decode[[]stored](b)
	if err != nil {
		return nil, err
	}
	rows := []facts.Row{}
	for _, c := range *list {
		if c.ID == "" {
			return nil, errOther
		}
		rows = append(rows, storedRow(c, nil))
	}
	return rows, nil
}

func specFile(b []byte) (*facts.ContainerRow, error) {
	c, err := decode[spec](b)
	if err != nil {
		return nil, err
	}
	if len(c.Mounts) == 0 && len(c.Annotations) == 0 {
		return nil, errOther
	}
	return taskRow("", c), nil
}

func domainFile(b []byte) (*facts.VirtualMachineRow, error) {
	row, err := parseDomain(b)
	if row.Type == "" && row.Name == "" && row.UUID == "" {
		return nil, errors.Join(errOther, err)
	}
	return row, err
}
