package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
)

// Where Docker, Podman with CRI-O, and containerd keep the layers of containers. Docker's
// are /var/lib/docker/overlay2/LAYER and Podman's overlay/LAYER: in each the folder diff is
// the layer, and the file lower names those below it, as links in the folder l. containerd
// keeps in a database which layers belong together.
const (
	dockerMounts     = "/var/lib/docker/image/overlay2/layerdb/mounts"
	dockerLayers     = "/var/lib/docker/overlay2"
	podmanContainers = "/var/lib/containers/storage/overlay-containers/containers.json"
	podmanLayers     = "/var/lib/containers/storage/overlay"
	containerdLayers = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
)

// stored is the topmost layer of a container, and the folder in which all layers are.
type stored struct{ folder, layer string }

// storedContainers finds the topmost layers of containers, by the containers' numbers.
func storedContainers(h *probe.Host) (map[string]stored, error) {
	found := make(map[string]stored)
	mounts, err := h.ReadDir(dockerMounts)
	problem := gone(err)
	for _, e := range mounts {
		if id := containerID(e.Name()); id != "" {
			layer := h.ReadString(path.Join(dockerMounts, id, "mount-id"))
			found[id] = stored{dockerLayers, path.Base(layer)}
		}
	}
	var list []struct{ ID, Layer string }
	data, err := h.ReadFile(podmanContainers)
	if err == nil {
		if err = json.Unmarshal(data, &list); err != nil {
			err = fmt.Errorf("%s: %w", podmanContainers, err)
		}
	}
	problem = errors.Join(problem, gone(err))
	for _, c := range list {
		if id := containerID(c.ID); id != "" {
			found[id] = stored{podmanLayers, path.Base(c.Layer)}
		}
	}
	if snapshots, _ := h.ReadDir(containerdLayers); len(snapshots) > 0 {
		problem = errors.Join(problem, fmt.Errorf("containers of containerd in %s: only its database tells their layers", containerdLayers))
	}
	if len(found) > maxContainers {
		return map[string]stored{}, fmt.Errorf("more than %d containers", maxContainers)
	}
	return found, problem
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
