package containers

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// stored is an entry of overlay-containers/containers.json, github.com/containers/storage.
type stored struct {
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	Image    string   `json:"image"`
	Metadata string   `json:"metadata"` // JSON
	Created  string   `json:"created"`
}

// metadata is what Podman and CRI-O write into Metadata.
type metadata struct {
	Name      string `json:"name"`
	ImageName string `json:"image-name"`
	ImageID   string `json:"image-id"`
	Pod       string `json:"pod-name"` // of CRI-O alone
	PodID     string `json:"pod-id"`
}

// image is an entry of overlay-images/images.json.
type image struct {
	ID     string   `json:"id"`
	Digest string   `json:"digest"`
	Names  []string `json:"names"`
}

// storage reads the containers of Podman and CRI-O, from where they keep containers and
// images (containers-storage.conf(5)).
func (s *search) storage() {
	roots := append(s.homes(".local/share/containers/storage"), "/var/lib/containers/storage")
	for _, name := range []string{"/usr/share/containers/storage.conf", "/etc/containers/storage.conf"} {
		if root, ok := parsed(s, facts.Containers, name, graphroot); ok && path.IsAbs(root) {
			roots = append(roots, path.Clean(root))
		}
	}
	slices.Sort(roots)
	for _, root := range slices.Compact(roots) {
		if s.remote(facts.Containers, root) {
			continue
		}
		list, ok := parsed(s, facts.Containers, path.Join(root, "overlay-containers/containers.json"), decode[[]stored])
		if !ok {
			continue
		}
		images := make(map[string]image)
		if all, ok := parsed(s, facts.Containers, path.Join(root, "overlay-images/images.json"), decode[[]image]); ok {
			for _, i := range *all {
				images[i.ID] = i
			}
		}
		for _, c := range *list {
			s.storedContainer(root, c, images)
		}
	}
}

// graphroot takes the one value that counts from a storage.conf, which is TOML: "" if it has none.
func graphroot(conf []byte) (string, error) {
	for line := range strings.Lines(string(conf)) {
		name, value, _ := strings.Cut(line, "=")
		if value = strings.TrimSpace(value); strings.TrimSpace(name) == "graphroot" && value != "" {
			value, _, _ = strings.Cut(value[1:], value[:1]) // in quotes of either kind
			return value, nil
		}
	}
	return "", nil
}

func (s *search) storedContainer(root string, c stored, images map[string]image) {
	row := storedRow(c, images)
	if row.Runtime == "cri-o" && strings.HasPrefix(row.Name, "k8s_POD_") {
		return // it only holds the namespaces of a pod
	}
	row.User = owner(root)
	userdata := path.Join("overlay-containers", c.ID, "userdata")
	if spec, ok := parsed(s, facts.Containers, path.Join(root, userdata, "config.json"), decode[spec]); ok {
		spec.apply(row)
	}
	if row.User == "" {
		row.State = s.state(path.Join("/run/containers/storage", userdata, "pidfile"))
	}
	s.report.Add(facts.Containers, row)
}

// storedRow is what the list of a store tells.
func storedRow(c stored, images map[string]image) *facts.ContainerRow {
	var m metadata
	if json.Unmarshal([]byte(c.Metadata), &m) != nil { // of another program
		m = metadata{}
	}
	row := &facts.ContainerRow{ID: c.ID, Name: m.Name, Runtime: "podman", Image: probe.Mask(m.ImageName), CreatedAt: created(c.Created)}
	if row.Name == "" && len(c.Names) > 0 {
		row.Name = c.Names[0]
	}
	if m.PodID != "" {
		row.Runtime = "cri-o"
		row.Pod = m.Pod
	}
	i := images[c.Image]
	if row.Image == "" && len(i.Names) > 0 {
		row.Image = probe.Mask(i.Names[0])
	}
	row.ImageDigest = i.Digest
	if row.ImageDigest == "" && m.ImageID != "" {
		row.ImageDigest = "sha256:" + m.ImageID
	}
	return row
}

// state is that of a container whose runtime writes its process into a file while it
// runs.
func (s *search) state(pidfile string) string {
	pid := s.host.ReadString(pidfile)
	if pid == "" || strings.Trim(pid, "0123456789") != "" || !s.exists("/proc/"+pid) {
		return "stopped"
	}
	return "running"
}

// spec is what is read of an OCI runtime configuration (config.json of
// github.com/opencontainers/runtime-spec). Its process is not decoded.
type spec struct {
	Hostname    string            `json:"hostname"`
	Annotations map[string]string `json:"annotations"`
	Mounts      []struct {
		Destination string `json:"destination"`
		Type        string `json:"type"`
		Source      string `json:"source"`
	} `json:"mounts"`
	Linux struct {
		Resources struct {
			Memory struct {
				Limit int64 `json:"limit"`
			} `json:"memory"`
			CPU struct {
				Quota  int64  `json:"quota"`
				Period uint64 `json:"period"`
			} `json:"cpu"`
		} `json:"resources"`
	} `json:"linux"`
}

func (c *spec) apply(row *facts.ContainerRow) {
	row.Hostname = c.Hostname
	row.MemoryBytes = max(c.Linux.Resources.Memory.Limit, 0)
	if cpu := c.Linux.Resources.CPU; cpu.Quota > 0 && cpu.Period > 0 {
		row.CPUs = float64(cpu.Quota) / float64(cpu.Period)
	}
	var mounts []string
	for _, m := range c.Mounts {
		if m.Type == "bind" && path.IsAbs(m.Source) && !strings.HasPrefix(m.Source, "/run/containers/") && !strings.HasPrefix(m.Source, "/var/lib/containers/") &&
			!strings.HasPrefix(m.Source, "/run/containerd/") && !strings.HasPrefix(m.Source, "/var/lib/containerd/") {
			mounts = append(mounts, m.Source+":"+m.Destination)
		}
	}
	row.Mounts = short(mounts)
	row.Labels = labels(c.Annotations)
}
