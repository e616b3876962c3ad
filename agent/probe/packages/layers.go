package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// Where Docker, Podman with CRI-O, and containerd keep the layers of containers unless they
// are told otherwise. Docker's are overlay2/LAYER and Podman's overlay/LAYER in its folder: in
// each the folder diff is the layer, and the file lower names those below it, as links in the
// folder l. containerd keeps in a database which layers belong together.
const (
	dockerRoot       = "/var/lib/docker"
	dockerMounts     = "image/overlay2/layerdb/mounts"
	podmanRoot       = "/var/lib/containers/storage"
	containerdLayers = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
)

// stored is the topmost layer of a container, and the folder in which all layers are; the
// zero value if it is not known how its files are kept.
type stored struct{ folder, layer string }

// stores finds the topmost layers of containers.
type stores struct {
	scan
	found   map[string]stored // by the containers' numbers; nil: there is no store
	problem probe.Problems
}

// storedContainers looks where the system keeps containers, and people do in their homes.
// It returns nil if there is nothing that could hold one.
func storedContainers(h *probe.Host) (map[string]stored, error) {
	s := stores{scan: scan{host: h, remote: h.Remotes()}}
	dockers, podmans := []string{dockerRoot}, []string{podmanRoot}
	var docker struct {
		DataRoot string `json:"data-root"`
		Graph    string // its old name
	}
	s.decode("/etc/docker/daemon.json", &docker)
	dockers = append(dockers, docker.DataRoot, docker.Graph)
	for _, name := range []string{"/usr/share/containers/storage.conf", "/etc/containers/storage.conf"} { // containers-storage.conf(5)
		data, err := readHead(h, name)
		s.problem.Add(gone(err))
		root, _ := rubyString(property(data, "=", "graphroot")) // TOML quotes alike
		podmans = append(podmans, string(root))
	}
	for _, home := range s.homes() {
		dockers = append(dockers, home+"/.local/share/docker")
		podmans = append(podmans, home+"/.local/share/containers/storage")
	}
	s.each(dockers, s.docker)
	s.each(podmans, s.podman)
	if snapshots, _ := h.ReadDir(containerdLayers); len(snapshots) > 0 {
		s.problem.Add(fmt.Errorf("containers of containerd in %s: only its database tells their layers", containerdLayers))
	}
	if len(s.found) > maxContainers {
		return map[string]stored{}, fmt.Errorf("more than %d containers", maxContainers)
	}
	return s.found, s.problem.Err()
}

func (s *stores) each(roots []string, read func(root string)) {
	slices.Sort(roots)
	for _, root := range slices.Compact(roots) {
		if path.IsAbs(root) && !s.remote.Hold(root) {
			read(path.Clean(root))
		}
	}
}

func (s *stores) decode(name string, into any) {
	data, err := s.host.ReadFile(name)
	if err == nil {
		if err = json.Unmarshal(data, into); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	s.problem.Add(gone(err))
}

func (s *stores) add(number string, one stored) {
	if s.found == nil {
		s.found = make(map[string]stored)
	}
	if id := containerID(number); id != "" && s.found[id].layer == "" {
		s.found[id] = one
	}
}

// docker reads image/overlay2/layerdb/mounts/ID/mount-id, and in the folder containers of
// which others it knows.
func (s *stores) docker(root string) {
	for _, dir := range []string{dockerMounts, "containers"} {
		entries, err := s.host.ReadDir(path.Join(root, dir))
		s.problem.Add(gone(err))
		if err == nil {
			s.add("", stored{}) // a store, if an empty one
		}
		for _, e := range entries {
			var one stored
			if layer := s.host.ReadString(path.Join(root, dockerMounts, e.Name(), "mount-id")); layer != "" {
				one = stored{path.Join(root, "overlay2"), path.Base(layer)}
			}
			s.add(e.Name(), one)
		}
	}
}

// podman reads the lists of containers, those that outlive a start of the machine and others.
func (s *stores) podman(root string) {
	lists, err := s.host.Glob(root + "/*-containers/*containers.json")
	s.problem.Add(err)
	for _, name := range lists {
		var list []struct{ ID, Layer string }
		s.decode(name, &list)
		s.add("", stored{})
		for _, c := range list {
			var one stored
			if path.Base(path.Dir(name)) == "overlay-containers" {
				one = stored{path.Join(root, "overlay"), path.Base(c.Layer)}
			}
			s.add(c.ID, one)
		}
	}
}

var errVeiled = errors.New("what was removed as a whole folder cannot be told: it takes CAP_SYS_ADMIN")

// open is the container's root as its layers make it, also beside errVeiled.
func (s stored) open(h *probe.Host) (*probe.Host, error) {
	top := path.Join(s.folder, s.layer)
	layers := []string{path.Join(top, "diff")}
	lower, err := h.ReadFile(path.Join(top, "lower"))
	if gone(err) != nil {
		return nil, err
	}
	for _, name := range strings.Split(strings.TrimSpace(string(lower)), ":") {
		if name != "" {
			layers = append(layers, path.Join(s.folder, name))
		}
	}
	for _, layer := range layers {
		if _, err := h.ReadDir(layer); err != nil {
			return nil, fmt.Errorf("a layer cannot be read: %w", err)
		}
	}
	inside, err := h.Layered(s.folder, layers)
	if err == nil && len(layers) > 1 && h.Veiled() {
		err = errVeiled
	}
	return inside, err
}
