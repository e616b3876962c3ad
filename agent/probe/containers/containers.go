// Package containers reads the containers and virtual machines of a host: the sections
// containers and virtual_machines.
//
// Everything comes from the files in which runtimes and managers keep what they know
// (Docker, Podman, CRI-O, containerd, LXC, Incus, LXD, systemd-nspawn; libvirt,
// Proxmox), and from the command lines of QEMU that nobody manages. No socket of a
// runtime is used: that would be root on the host, and runtimes without a daemon have
// none. Environment variables and command lines of containers are not decoded.
//
// A configuration is parsed again only when its stamp has changed.
package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections containers and virtual_machines.
func New() probe.Probe { return &guestProbe{known: make(map[string]*known)} }

type guestProbe struct {
	known map[string]*known // what was made of files, by path
}

// known is what was made of one file.
type known struct {
	stamp probe.Stamp
	value any
	seen  bool // in the present run
}

// maxGuests bounds a section. The largest nodes run some hundreds.
const maxGuests = 10_000

// Info implements probe.Probe.
func (*guestProbe) Info() probe.Info {
	return probe.Info{
		Name:     "containers",
		Sections: []facts.ID{facts.Containers, facts.VirtualMachines},
		Timeout:  10 * time.Second,
		MaxItems: maxGuests,
		MaxBytes: 16 << 20,
		Watch: []string{
			"/var/lib/docker/containers", "/var/lib/containers/storage/overlay-containers/containers.json", "/etc/libvirt/qemu",
			"/run/libvirt/qemu", "/run/systemd/machines", "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
		},
	}
}

// Collect implements probe.Probe.
func (p *guestProbe) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if err := h.Holds("/etc"); err != nil {
		return err
	}
	s := &search{ctx: ctx, host: h, remotes: h.Remotes(), probe: p, report: r}
	for _, look := range []func(){s.docker, s.storage, s.containerd, s.lxc, s.nspawn} {
		if ctx.Err() == nil {
			look()
		}
	}
	s.machines()
	for path, k := range p.known {
		if !k.seen {
			delete(p.known, path)
		}
		k.seen = false
	}
	return ctx.Err()
}

// search is one look at a host.
type search struct {
	ctx     context.Context
	host    *probe.Host
	remotes *probe.Remotes
	probe   *guestProbe
	report  *probe.Report
}

// problem notes that something could not be read. What is not there is no problem.
func (s *search) problem(section facts.ID, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.report.Problem(section, err)
	}
}

// remote notes that a place lies where nobody may answer: looking there may hang.
func (s *search) remote(section facts.ID, place string) bool {
	held := s.remotes.Hold(place)
	if held {
		s.problem(section, fmt.Errorf("%s is on a remote file system: it is not looked at", place))
	}
	return held
}

// list returns the names in a folder.
func (s *search) list(section facts.ID, folder string) []string {
	if s.remote(section, folder) {
		return nil
	}
	entries, err := s.host.ReadDir(folder)
	s.problem(section, err)
	entries = first(s, section, folder, entries)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// glob returns the paths that match a pattern, which is well formed.
func (s *search) glob(section facts.ID, pattern string) []string {
	if s.remote(section, path.Dir(pattern[:strings.IndexAny(pattern, "*")])) {
		return nil
	}
	found, err := s.host.Match(pattern)
	s.problem(section, err)
	return first(s, section, pattern, found)
}

// first bounds what was found in a place, and tells that there is more.
func first[T any](s *search, section facts.ID, place string, found []T) []T {
	if len(found) <= maxGuests {
		return found
	}
	s.problem(section, fmt.Errorf("%s: only the first %d were looked at", place, maxGuests))
	return found[:maxGuests]
}

func (s *search) exists(path string) bool {
	_, err := s.host.Stat(path)
	return err == nil
}

// parsed returns what parse makes of a file, from memory when the file has not changed.
// The caller must not change it.
func parsed[T any](s *search, section facts.ID, path string, parse func([]byte) (T, error)) (value T, ok bool) {
	stamp := s.host.Stamp(path)
	if k, found := s.probe.known[path]; found && k.stamp == stamp && stamp != (probe.Stamp{}) {
		k.seen = true
		value, ok = k.value.(T)
		return value, ok
	}
	b, err := s.host.ReadFile(path)
	if err == nil {
		value, err = parse(b)
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		s.problem(section, err)
		return value, false
	}
	s.probe.known[path] = &known{stamp, value, true}
	return value, true
}

// served returns what parse makes of the files that match a pattern, in folders that a program
// may serve which does not answer. The caller must not change it.
func served[T any](s *search, section facts.ID, pattern string, parse func([]byte) (T, error)) map[string]T {
	values := make(map[string]T)
	if !s.remotes.Hold(path.Dir(pattern)) {
		for _, name := range s.glob(section, pattern) {
			if v, ok := parsed(s, section, name, parse); ok {
				values[name] = v
			}
		}
		return values
	}
	files, err := s.host.Aside(s.ctx, pattern)
	s.problem(section, err)
	for name, b := range files {
		v, err := parse(b)
		if err != nil {
			s.problem(section, fmt.Errorf("%s: %w", name, err))
			continue
		}
		values[name] = v
	}
	return values
}

// decode is json.Unmarshal into a new T.
func decode[T any](b []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, err
	}
	return v, nil
}

// homes are the paths below the home folders of those who may run containers without
// root. Homes on the network or under an automounter are left alone: looking there may
// hang, and would mount them all.
func (s *search) homes(below string) []string {
	if s.remotes.Hold("/home") {
		return nil
	}
	var found []string
	for _, name := range s.list(facts.Containers, "/home") {
		home := "/home/" + name
		if s.remotes.Hold(path.Join(home, below)) {
			continue
		}
		match, err := s.host.Match(home + "/" + below)
		if err != nil {
			user := owner(home)
			s.report.Hidden(facts.Containers, err, func(row facts.Row) bool { return row.(*facts.ContainerRow).User == user })
		}
		found = append(found, first(s, facts.Containers, home, match)...)
	}
	return found
}

// owner is the user whose home a path lies in.
func owner(path string) string {
	rest, ok := strings.CutPrefix(path, "/home/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// told are the labels that say what a container is part of. Others may be anything,
// secrets too.
var told = []string{
	"com.docker.compose.project", "com.docker.compose.service", "com.docker.swarm.service.name", "com.docker.stack.namespace",
	"io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.container.name", "io.podman.compose.project",
	"org.opencontainers.image.source", "org.opencontainers.image.title", "org.opencontainers.image.version", "PODMAN_SYSTEMD_UNIT",
}

// labels picks those that are told.
func labels(all map[string]string) []string {
	var out []string
	for _, name := range told {
		if v, ok := all[name]; ok && len(v) < 256 {
			out = append(out, name+"="+v)
		}
	}
	slices.Sort(out)
	return out
}

// pod is the name of the pod in the labels or annotations that Kubernetes sets.
func pod(all map[string]string, namespace, name string) string {
	if all[name] == "" {
		return ""
	}
	return all[namespace] + "/" + all[name]
}

const maxList = 100 // ports, mounts and networks of one row

// short sorts and bounds a list, without the secrets in its parts: of sources of mounts
// and disks that are addresses.
func short(list []string) []string {
	for i, s := range list {
		list[i] = probe.Mask(s)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), maxList)]
}

// created reads a time as runtimes write it.
func created(s string) facts.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 2000 {
		return 0
	}
	return facts.TimeOf(t.Truncate(time.Second))
}
