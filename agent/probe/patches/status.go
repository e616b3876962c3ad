package patches

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"atalaya/agent/probe"
)

const (
	statusFile = "/var/lib/dpkg/status"
	archFile   = "/var/lib/dpkg/arch"
	listsDir   = "/var/lib/apt/lists"
)

// packageID names a package as apt does: packages of architecture "all" belong to the
// native one.
type packageID struct{ name, arch string }

// installed is a package that is at least partly on the disk.
type installed struct {
	arch    string // as dpkg says, perhaps "all"
	version string
	hold    bool
	offer   // what the installed version needs and provides
}

// system is what dpkg says about the machine.
type system struct {
	native   string
	archs    []string // native first
	packages map[packageID]*installed
}

// readSystem reads dpkg's status and architecture files. An error means that the
// status file is not whole: then nothing can be concluded.
func readSystem(ctx context.Context, h *probe.Host, in *inputs) (*system, error) {
	data, err := in.read(h, statusFile)
	if err != nil {
		return nil, err
	}
	list, err := parseStatus(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statusFile, err)
	}
	sys := &system{packages: make(map[packageID]*installed, len(list))}
	for _, p := range list {
		if p.name == "dpkg" {
			sys.native = p.arch
		}
	}
	if sys.native == "" {
		return nil, fmt.Errorf("%s: dpkg itself is missing, so the architecture is not known", statusFile)
	}
	sys.archs = []string{sys.native}
	foreign, err := in.read(h, archFile)
	if err != nil && !notThere(err) {
		return nil, err
	}
	sys.archs = filter(append(sys.archs, strings.Fields(string(foreign))...), func(string) bool { return true })
	for i := range list {
		sys.packages[sys.id(list[i].name, list[i].arch)] = &list[i].installed
	}
	return sys, nil
}

func (s *system) id(name, arch string) packageID {
	if arch == "all" {
		arch = s.native
	}
	return packageID{name, arch}
}

type namedInstalled struct {
	name string
	installed
}

// parseStatus keeps what apt's solver needs of the packages on the disk. dpkg ends
// every stanza with an empty line: a file that does not end so is cut.
func parseStatus(ctx context.Context, data []byte) ([]namedInstalled, error) {
	var out []namedInstalled
	in := newStanzas(bytes.NewReader(data))
	for {
		stanza, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if in.unended {
			return nil, errors.New("cut off: the last stanza does not end")
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, onDisk, err := parseInstalled(stanza)
		if err != nil {
			return nil, err
		}
		if onDisk {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("damaged: it has no package")
	}
	return out, nil
}

func parseInstalled(stanza []byte) (p namedInstalled, onDisk bool, err error) {
	var want, state string
	eachField(stanza, func(name, value []byte) {
		switch string(name) {
		case "Package":
			p.name = string(value)
		case "Architecture":
			p.arch = string(value)
		case "Version":
			p.installed.version = string(value)
		case "Status":
			words := strings.Fields(string(value))
			if len(words) == 3 {
				want, state = words[0], words[2]
			}
		default:
			p.offer.field(name, value)
		}
	})
	p.hold, p.breaks = want == "hold", "" // it stands beside all that is there
	switch {
	case p.name == "" || state == "":
		return p, false, fmt.Errorf("package %q has no name or status", p.name)
	case state == "not-installed" || state == "config-files":
		return p, false, nil
	case p.installed.version == "":
		return p, false, fmt.Errorf("package %q has no version", p.name)
	}
	return p, true, nil
}
