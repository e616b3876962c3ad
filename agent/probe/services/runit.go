package services

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"strconv"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

var (
	// runitFolders hold the services that there are: of Void and Debian, of Artix.
	runitFolders = []string{"/etc/sv", "/etc/runit/sv"}
	// runitEnabled hold links to those that runsvdir(8) starts: of Void, of all that boot
	// with runit, of Debian.
	runitEnabled = []string{"/var/service", "/etc/runit/runsvdir/default", "/etc/service"}
)

// runitServices lists the folders with a program "run" (runsv(8)). A service is enabled that
// is linked to where runsvdir looks, and has no file "down".
func runitServices(h *probe.Host) ([]facts.Row, error) {
	h = h.For(facts.Services)
	has := func(name string) bool {
		_, err := h.Stat(name)
		return err == nil
	}
	found := make(map[string]*facts.ServiceRow)
	var rows []facts.Row
	var problem error
	for i, folder := range append(runitFolders, runitEnabled...) {
		entries, err := h.ReadDir(folder)
		if !probe.Absent(err) {
			problem = errors.Join(problem, err)
		}
		for _, e := range entries {
			dir := path.Join(folder, e.Name())
			row := found[e.Name()]
			if row == nil && has(dir+"/run") {
				row = &facts.ServiceRow{Name: e.Name(), Enabled: "disabled", State: runitState(h, dir), Path: dir + "/run", Manager: "runit", Restart: "always"}
				found[e.Name()] = row
				rows = append(rows, row)
			}
			if row != nil && i >= len(runitFolders) && !has(dir+"/down") {
				row.Enabled = "enabled"
			}
		}
	}
	return rows, problem
}

// runitState reads what runsv(8) notes of a service in 20 bytes: since when, the process in
// four from the twelfth on, and last 1 where it runs. It is what was once: the process must
// be there, too.
func runitState(h *probe.Host, dir string) string {
	b, err := h.ReadFile(dir + "/supervise/status")
	switch {
	case errors.Is(err, fs.ErrNotExist): // not supervised since the machine was started
	case err != nil || len(b) != 20:
		return ""
	case b[19] != 1:
		return "stopped"
	default:
		if _, err := h.Stat("/proc/" + strconv.Itoa(int(binary.LittleEndian.Uint32(b[12:])))); err == nil {
			return "running"
		}
	}
	if _, err := h.Stat("/proc/1"); err == nil {
		return "stopped"
	}
	return ""
}
