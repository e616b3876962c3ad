package containers

import (
	"maps"
	"net"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// dockerRoot is where Docker keeps its data unless daemon.json says otherwise.
const dockerRoot = "/var/lib/docker"

// docker reads the containers of Docker: containers/ID/config.v2.json and
// hostconfig.json below its data folder. The format is that of the structs Container
// and HostConfig of github.com/moby/moby.
func (s *search) docker() {
	type daemon struct {
		DataRoot string `json:"data-root"`
		Graph    string `json:"graph"` // its old name
	}
	roots := []string{dockerRoot}
	if d, ok := parsed(s, facts.Containers, "/etc/docker/daemon.json", decode[daemon]); ok {
		for _, dir := range []string{d.DataRoot, d.Graph} {
			if path.IsAbs(dir) {
				roots = append(roots, path.Clean(dir))
			}
		}
	}
	roots = append(roots, s.homes(".local/share/docker")...)
	slices.Sort(roots)
	for _, root := range slices.Compact(roots) {
		for _, id := range s.list(facts.Containers, path.Join(root, "containers")) {
			s.dockerContainer(root, id)
		}
	}
}

func (s *search) dockerContainer(root, id string) {
	dir := path.Join(root, "containers", id)
	row, ok := parsed(s, facts.Containers, path.Join(dir, "config.v2.json"), parseDocker)
	if !ok {
		return
	}
	full := *row
	full.User = owner(root)
	if host, ok := parsed(s, facts.Containers, path.Join(dir, "hostconfig.json"), decode[dockerHost]); ok {
		host.apply(&full)
	}
	s.report.Add(facts.Containers, &full)
}

// dockerConfig is what is read of config.v2.json.
type dockerConfig struct {
	ID      string
	Name    string
	Created string
	Image   string
	State   struct {
		Running, Paused, Restarting, Dead bool
		FinishedAt                        string
	}
	Config struct {
		Image    string
		Hostname string
		Labels   map[string]string
	}
	NetworkSettings struct {
		Networks map[string]struct{}
		Ports    map[string][]binding
	}
	MountPoints map[string]struct{ Source, Destination, Name string }
}

type binding struct{ HostIp, HostPort string } //nolint:revive,staticcheck // Docker's spelling

// parseDocker reads config.v2.json.
func parseDocker(b []byte) (*facts.ContainerRow, error) {
	c, err := decode[dockerConfig](b)
	if err != nil {
		return nil, err
	}
	row := &facts.ContainerRow{
		ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), Runtime: "docker", Image: probe.Mask(c.Config.Image), ImageDigest: c.Image,
		CreatedAt: created(c.Created), Hostname: c.Config.Hostname, Labels: labels(c.Config.Labels),
		Pod: pod(c.Config.Labels, "io.kubernetes.pod.namespace", "io.kubernetes.pod.name"), State: "stopped",
	}
	switch {
	case c.State.Paused:
		row.State = "paused"
	case c.State.Running, c.State.Restarting:
		row.State = "running"
	case strings.HasPrefix(c.State.FinishedAt, "0001"): // it never ran
		row.State = "created"
	}
	row.Networks = short(slices.Collect(maps.Keys(c.NetworkSettings.Networks)))
	row.Ports = ports(c.NetworkSettings.Ports)
	for _, m := range c.MountPoints {
		from := m.Source
		if m.Name != "" {
			from = m.Name
		}
		row.Mounts = append(row.Mounts, from+":"+m.Destination)
	}
	row.Mounts = short(row.Mounts)
	return row, nil
}

// ports writes published ports as `docker ps` does.
func ports(all map[string][]binding) []string {
	var out []string
	for port, list := range all {
		for _, b := range list {
			if b.HostPort == "" || b.HostPort == "0" { // any: told once it runs
				continue
			}
			host := b.HostIp
			if host == "" {
				host = "0.0.0.0"
			}
			out = append(out, net.JoinHostPort(host, b.HostPort)+"->"+port)
		}
	}
	return short(out)
}

// dockerHost is what is read of hostconfig.json.
type dockerHost struct {
	RestartPolicy struct{ Name string }
	PortBindings  map[string][]binding
	NetworkMode   string
	Privileged    bool
	NanoCpus      int64
	Memory        int64
}

func (d *dockerHost) apply(row *facts.ContainerRow) {
	row.Restart, row.Privileged = d.RestartPolicy.Name, d.Privileged
	row.CPUs, row.MemoryBytes = float64(max(d.NanoCpus, 0))/1e9, max(d.Memory, 0)
	if len(row.Ports) == 0 { // of one that does not run
		row.Ports = ports(d.PortBindings)
	}
	if len(row.Networks) == 0 && d.NetworkMode != "" && d.NetworkMode != "default" {
		row.Networks = []string{d.NetworkMode}
	}
}
