package patches

import (
	"context"
	"path"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const flatpakDir = "/var/lib/flatpak"

// flatpakManager tells what files tell of system-wide flatpaks: the remotes, and what
// was fetched but not deployed. flatpak keeps no list of what a remote offers in a
// documented form, so that it does not add to the verdict; the verdict names it.
type flatpakManager struct{}

// found looks for something deployed: the folders alone come with the program.
func (flatpakManager) found(h *probe.Host) bool {
	for _, kind := range []string{"app", "runtime"} {
		if entries, _ := h.ReadDir(path.Join(flatpakDir, kind)); len(entries) > 0 {
			return true
		}
	}
	return false
}

func (flatpakManager) read(_ context.Context, h *probe.Host) *finding {
	f := newFinding()
	f.unjudged = "flatpaks"
	const config = flatpakDir + "/repo/config"
	data, err := f.in.read(h, config)
	sections, parseErr := parseINI(string(data))
	if err != nil || parseErr != nil {
		f.sourcesProblem = first2(err, parseErr)
	}
	for _, s := range sections {
		name, ok := strings.CutPrefix(s.name, `remote "`)
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, `"`)
		row := &facts.RepositoryRow{Manager: "flatpak", ID: name, Kind: "ostree", URI: maskURI(s.value("url")),
			Enabled: !s.on("xa.disable", false), Signing: "none", File: config}
		if s.on("gpg-verify", true) {
			row.Signing = "index, packages"
		}
		f.repositories = append(f.repositories, row)
		f.indexes = append(f.indexes, flatpakIndex(h, name))
		f.rows = append(f.rows, undeployed(h, f.in, name)...)
	}
	return f
}

func first2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// flatpakIndex dates the catalogue of a remote, which flatpak fetches with updates.
func flatpakIndex(h *probe.Host, remote string) *indexState {
	x := &indexState{PackageIndexRow: facts.PackageIndexRow{Manager: "flatpak", Repository: remote, Error: "flatpak keeps no list of what it offers"}}
	stamps, _ := h.Glob(path.Join(flatpakDir, "appstream", remote, "*", ".timestamp")) // fetched for desktops only
	var at time.Time
	for _, name := range stamps {
		at = later(at, modTime(h.Stat(name)))
	}
	x.Time = facts.TimeOf(at)
	return x
}

// maxRefs bounds the references of one remote.
const maxRefs = 4096

// undeployed compares what was fetched of each reference with what is deployed.
func undeployed(h *probe.Host, in *inputs, remote string) (rows []facts.Row) {
	refs := path.Join(flatpakDir, "repo/refs/remotes", remote)
	found, _ := h.Glob(refs + "/*/*/*/*")
	for _, name := range found[:min(len(found), maxRefs)] {
		ref := strings.TrimPrefix(name, refs+"/")
		parts := strings.Split(ref, "/") // kind, name, arch, branch
		if len(parts) != 4 || parts[0] != "app" && parts[0] != "runtime" {
			continue
		}
		in.note(h, name)
		link := path.Join(flatpakDir, ref, "active")
		in.note(h, link)
		active, err := h.Readlink(link)
		commit := h.ReadString(name)
		if deployed := path.Base(active); err == nil && len(commit) == 64 && commit != deployed {
			rows = append(rows, &facts.PatchRow{Name: parts[1] + "//" + parts[3], Arch: parts[2], Installed: short(deployed), Candidate: short(commit),
				Origin: remote, State: statePending, Source: "flatpak", Reason: "fetched, not deployed"})
		}
	}
	return rows
}

// short is how ostree shows commits.
func short(commit string) string { return commit[:min(len(commit), 12)] }
