package containers

import (
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "docker-config", Help: "config.v2.json of a Docker container", Parse: each(parseDocker)},
		{Kind: "podman-containers", Help: "containers.json of Podman or CRI-O", Parse: each(func(b []byte) ([]facts.Row, error) {
			list, err := decode[[]stored](b)
			if err != nil {
				return nil, err
			}
			rows := []facts.Row{}
			for _, c := range *list {
				rows = append(rows, storedRow(c, nil))
			}
			return rows, nil
		})},
		{Kind: "oci-config", Help: "config.json of an OCI runtime, as containerd keeps it", Parse: each(func(b []byte) (*facts.ContainerRow, error) {
			c, err := decode[spec](b)
			if err != nil {
				return nil, err
			}
			return taskRow("", c), nil
		})},
		{Kind: "lxc", Help: "configuration of an LXC container", Parse: each(parseLXC)},
		{Kind: "libvirt-domain", Help: "XML of a libvirt domain", Parse: each(parseDomain)},
		{Kind: "virsh", Help: "the same as `virsh dumpxml` writes it", Parse: each(parseDomain)},
		{Kind: "proxmox-vm", Help: "configuration of a virtual machine of Proxmox", Parse: each(parseProxmox)},
	}
}

// each applies the parser of one file to several: one result for one file, else a list.
func each[T any](parse func([]byte) (T, error)) func([]probe.Input) (any, error) {
	return func(files []probe.Input) (any, error) {
		var list []T
		var problems error
		for _, f := range files {
			got, err := parse(f.Data)
			list = append(list, got)
			problems = errors.Join(problems, err)
		}
		if len(list) == 1 {
			return list[0], problems
		}
		return list, problems
	}
}
