package services

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	scriptDir    = "/etc/init.d"
	runlevelsDir = "/etc/runlevels"
	openrcState  = "/run/openrc"
)

// initScripts lists the scripts of /etc/init.d that systemd does not replace by a unit
// of the same name (it takes foo.sh for foo). With /etc/runlevels they are OpenRC's.
func initScripts(h *probe.Host, units map[string]*facts.ServiceRow) ([]facts.Row, error) {
	entries, err := h.ReadDir(scriptDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	openrc, openrcErr := h.ReadDir(runlevelsDir)
	enabled := make(map[string]bool)
	manager := "sysvinit"
	if openrcErr == nil {
		manager = "openrc"
		for _, level := range openrc {
			links, _ := h.ReadDir(path.Join(runlevelsDir, level.Name())) // a file there is no runlevel
			for _, e := range links {
				enabled[e.Name()] = true
			}
		}
	} else {
		sysvEnabled(h, enabled)
	}
	var rows []facts.Row
	for _, e := range entries {
		name := e.Name()
		if units[name] != nil || units[strings.TrimSuffix(name, ".sh")] != nil || !isScript(h, name, e) {
			continue
		}
		row := &facts.ServiceRow{Name: name, Enabled: "disabled", Path: path.Join(scriptDir, name), Manager: manager}
		if enabled[name] {
			row.Enabled = "enabled"
		}
		if manager == "openrc" {
			row.State = openrcRunning(h, name)
		} else {
			row.State = sysvRunning(h, name)
		}
		rows = append(rows, row)
	}
	return rows, err
}

// sysvEnabled reads the start links of the runlevels in which a machine serves
// (2 to 5) and of the boot (S): rc3.d/S01name.
func sysvEnabled(h *probe.Host, enabled map[string]bool) {
	for _, level := range []string{"2", "3", "4", "5", "S"} {
		links, _ := h.ReadDir("/etc/rc" + level + ".d") // not every system has every level
		for _, e := range links {
			name := e.Name()
			if len(name) > 3 && name[0] == 'S' && name[1] >= '0' && name[1] <= '9' && name[2] >= '0' && name[2] <= '9' {
				enabled[name[3:]] = true
			}
		}
	}
}

// isScript leaves out what lies in the folder but starts nothing.
func isScript(h *probe.Host, name string, e fs.DirEntry) bool {
	switch name {
	case "README", "skeleton", "functions", "functions.sh", "rc", "rcS", "halt", "killall", "single":
		return false
	}
	if e.IsDir() || name[0] == '.' || strings.HasSuffix(name, ".dpkg-old") || strings.HasSuffix(name, ".dpkg-dist") || strings.HasSuffix(name, ".rpmsave") {
		return false
	}
	info, err := h.For(facts.Services).Stat(path.Join(scriptDir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// openrcRunning reads the links that OpenRC keeps for each state; without its folder
// nothing is known.
func openrcRunning(h *probe.Host, name string) string {
	if _, err := h.Stat(openrcState + "/started"); err != nil {
		return ""
	}
	links := map[string]string{"started": "running", "failed": "failed"}
	for _, dir := range []string{"failed", "started"} {
		if _, err := h.Readlink(path.Join(openrcState, dir, name)); err == nil {
			return links[dir]
		}
	}
	return "stopped"
}

// sysvRunning looks for the process that the script noted, where it did under its own name
// (init-d-script(5)). Nothing else tells the state.
func sysvRunning(h *probe.Host, name string) string {
	pid, _, _ := strings.Cut(h.ReadString("/run/"+name+".pid"), "\n")
	if n, err := strconv.ParseUint(pid, 10, 32); err != nil || n == 0 {
		return ""
	}
	if _, err := h.Stat("/proc/" + pid); err != nil {
		return "stopped"
	}
	return "running"
}
