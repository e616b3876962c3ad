package schedule

import (
	"context"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	xdgDir = "/etc/xdg/autostart"
	// maxPerUser bounds what is listed of one user's folder.
	maxPerUser = 200
	// maxHomes bounds the homes that are looked at.
	maxHomes = 2000
)

// system lists what starts for everybody.
func (c *collector) system() {
	for _, name := range c.names(xdgDir) {
		c.desktop("xdg", path.Join(xdgDir, name), "")
	}
	c.userUnits("/etc/systemd/user", "")
	for _, file := range []string{"/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local"} {
		if info, err := c.h.Stat(file); err == nil && info.Mode().IsRegular() {
			c.r.Add(facts.Autostart, &facts.AutostartRow{Kind: "rc-local", Name: path.Base(file), Enabled: c.executable(file), Path: file})
		}
	}
	for _, name := range c.names("/etc/local.d") { // OpenRC
		if file := path.Join("/etc/local.d", name); strings.HasSuffix(name, ".start") {
			c.r.Add(facts.Autostart, &facts.AutostartRow{Kind: "rc-local", Name: name, Enabled: c.executable(file), Path: file})
		}
	}
	for _, name := range c.names("/etc/profile.d") {
		if strings.HasSuffix(name, ".sh") || strings.HasSuffix(name, ".csh") {
			c.r.Add(facts.Autostart, &facts.AutostartRow{Kind: "profile", Name: name, Enabled: true, Path: path.Join("/etc/profile.d", name)})
		}
	}
}

// users lists what starts for one user, from homes that are on this machine.
func (c *collector) users(ctx context.Context) error {
	passwd, _ := c.h.ReadFile("/etc/passwd") // the section of users tells of errors
	remotes := c.h.Remotes()
	seen := make(map[string]bool)
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 || !path.IsAbs(f[5]) || f[5] == "/" || seen[f[5]] {
			continue
		}
		if len(seen) >= maxHomes {
			c.remark = "only the first homes are looked at"
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		seen[f[5]] = true
		if remotes.Hold(path.Join(f[5], ".config")) {
			c.remark = "homes on remote file systems are not looked at"
			continue
		}
		dir := path.Join(f[5], ".config/autostart")
		for i, name := range c.names(dir) {
			if i < maxPerUser {
				c.desktop("user-xdg", path.Join(dir, name), f[0])
			}
		}
		c.userUnits(path.Join(f[5], ".config/systemd/user"), f[0])
	}
	return nil
}

// desktop adds a desktop entry.
func (c *collector) desktop(kind, file, user string) {
	if !strings.HasSuffix(file, ".desktop") {
		return
	}
	text, ok := c.read(file)
	if !ok {
		return
	}
	row := parseDesktop(text)
	row.Kind, row.User, row.Path = kind, user, file
	if row.Name == "" {
		row.Name = strings.TrimSuffix(path.Base(file), ".desktop")
	}
	c.r.Add(facts.Autostart, row)
}

// parseDesktop reads the group [Desktop Entry]. Hidden=true takes an entry of the system
// away, as GNOME's own key does.
func parseDesktop(text string) *facts.AutostartRow {
	row := &facts.AutostartRow{Enabled: true}
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = line == "[Desktop Entry]"
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !in || !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "Name":
			row.Name = strings.ToValidUTF8(value, "\uFFFD")
		case "Exec":
			row.Exec = shorten(probe.Mask(value))
		case "Hidden":
			row.Enabled = row.Enabled && value != "true"
		case "X-GNOME-Autostart-enabled":
			row.Enabled = row.Enabled && value != "false"
		}
	}
	return row
}

// userUnits lists the units that systemd starts for users: links in folders *.wants.
func (c *collector) userUnits(dir, user string) {
	entries, err := c.h.ReadDir(dir)
	c.failed(dir, err)
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext != ".wants" && ext != ".requires" {
			continue
		}
		sub := path.Join(dir, e.Name())
		for i, name := range c.names(sub) {
			if i < maxPerUser {
				c.r.Add(facts.Autostart, &facts.AutostartRow{Kind: "user-unit", Name: name, User: user, Enabled: true, Path: path.Join(sub, name)})
			}
		}
	}
}
