package facts

// ContainerRow is a container of this host, running or not. Its environment and its
// command line are never read.
type ContainerRow struct {
	ID          string   `json:"id" cbor:"1,keyasint" store:"own"` // as the runtime numbers it; its name where there are no numbers
	Name        string   `json:"name,omitempty" cbor:"2,keyasint,omitempty"`
	Runtime     string   `json:"runtime" cbor:"3,keyasint"` // docker, podman, containerd, cri-o, lxc, incus, lxd, nspawn
	Image       string   `json:"image,omitempty" cbor:"4,keyasint,omitempty"`
	ImageDigest string   `json:"image_digest,omitempty" cbor:"5,keyasint,omitempty"` // sha256:... of the image's configuration or manifest, as the runtime keeps it
	State       string   `json:"state,omitempty" cbor:"6,keyasint,omitempty"`        // running, paused, stopped, created; absent when it cannot be told
	CreatedAt   Time     `json:"created_at,omitempty,omitzero" cbor:"7,keyasint,omitempty"`
	Ports       []string `json:"ports,omitempty" cbor:"8,keyasint,omitempty"` // published: "0.0.0.0:8080->80/tcp"
	Networks    []string `json:"networks,omitempty" cbor:"9,keyasint,omitempty"`
	Mounts      []string `json:"mounts,omitempty" cbor:"10,keyasint,omitempty"`  // of the host: "/srv/data:/data", of volumes by name
	Restart     string   `json:"restart,omitempty" cbor:"11,keyasint,omitempty"` // policy: no, always, on-failure, unless-stopped
	Labels      []string `json:"labels,omitempty" cbor:"12,keyasint,omitempty"`  // "name=value" of those that tell what it is part of
	Pod         string   `json:"pod,omitempty" cbor:"13,keyasint,omitempty"`     // namespace/name in Kubernetes
	Hostname    string   `json:"hostname,omitempty" cbor:"14,keyasint,omitempty"`
	MAC         string   `json:"mac,omitempty" cbor:"15,keyasint,omitempty"`          // where it is configured
	CPUs        float64  `json:"cpus,omitempty" cbor:"16,keyasint,omitempty"`         // how many it may use; absent: all
	MemoryBytes int64    `json:"memory_bytes,omitempty" cbor:"17,keyasint,omitempty"` // how much it may use; absent: all
	Privileged  bool     `json:"privileged,omitempty" cbor:"18,keyasint,omitempty"`   // it is as good as root on the host
	User        string   `json:"user,omitempty" cbor:"19,keyasint,omitempty"`         // of the host, whose runtime without root has it
}

// Key implements Row.
func (r *ContainerRow) Key() string { return key(r.Runtime, r.ID, r.User) }

// VirtualMachineRow is a virtual machine of this host, running or not.
type VirtualMachineRow struct {
	Name        string   `json:"name" cbor:"1,keyasint"`
	Manager     string   `json:"manager" cbor:"2,keyasint"` // libvirt, proxmox, qemu (started by hand)
	UUID        string   `json:"uuid,omitempty" cbor:"3,keyasint,omitempty" store:"own"`
	Type        string   `json:"type,omitempty" cbor:"4,keyasint,omitempty"`  // kvm, qemu, xen, lxc ...
	State       string   `json:"state,omitempty" cbor:"5,keyasint,omitempty"` // running, paused, stopped
	VCPUs       int      `json:"vcpus,omitempty" cbor:"6,keyasint,omitempty"`
	MemoryBytes int64    `json:"memory_bytes,omitempty" cbor:"7,keyasint,omitempty"`
	Autostart   bool     `json:"autostart,omitempty" cbor:"8,keyasint,omitempty"`
	Disks       []string `json:"disks,omitempty" cbor:"9,keyasint,omitempty"` // files, devices or volumes
	MACs        []string `json:"macs,omitempty" cbor:"10,keyasint,omitempty"`
	Networks    []string `json:"networks,omitempty" cbor:"11,keyasint,omitempty"` // bridges and networks, sorted
	Machine     string   `json:"machine,omitempty" cbor:"12,keyasint,omitempty"`  // type of the machine: pc-q35-8.1
	Arch        string   `json:"arch,omitempty" cbor:"13,keyasint,omitempty"`
	ID          string   `json:"id,omitempty" cbor:"14,keyasint,omitempty"` // number in the manager
	Title       string   `json:"title,omitempty" cbor:"15,keyasint,omitempty"`
}

// Key implements Row.
func (r *VirtualMachineRow) Key() string { return key(r.Manager, r.Name, r.ID) }
