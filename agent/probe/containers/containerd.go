package containers

import (
	"path"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// tasks are where containerd keeps what runs: NAMESPACE/ID below.
var tasks = []string{"/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task"}

// containerd reads the running containers of containerd from the OCI configurations of
// its tasks; those that do not run are in its database alone, whose format is its own.
// The namespace of Docker is left out: docker tells more of them.
func (s *search) containerd() {
	for _, root := range tasks {
		for _, namespace := range s.list(facts.Containers, root) {
			if namespace == "moby" {
				continue
			}
			for _, id := range s.list(facts.Containers, path.Join(root, namespace)) {
				file := path.Join(root, namespace, id, "config.json")
				if c, ok := parsed(s, facts.Containers, file, decode[spec]); ok {
					if row := taskRow(id, c); row != nil {
						s.report.Add(facts.Containers, row)
					}
				}
			}
		}
	}
}

// taskRow is a container of containerd; nil for the one that only holds the namespaces
// of a pod. The annotations are those of containerd's CRI plugin and of nerdctl.
func taskRow(id string, c *spec) *facts.ContainerRow {
	const cri = "io.kubernetes.cri."
	a := c.Annotations
	if a[cri+"container-type"] == "sandbox" {
		return nil
	}
	row := &facts.ContainerRow{
		ID: id, Name: a[cri+"container-name"], Runtime: "containerd", Image: probe.Mask(a[cri+"image-name"]), State: "running",
		Pod: pod(a, cri+"sandbox-namespace", cri+"sandbox-name"),
	}
	if row.Name == "" {
		row.Name = a["nerdctl/name"]
	}
	c.apply(row)
	return row
}
