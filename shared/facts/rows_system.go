package facts

import (
	"strconv"
	"strings"
)

// LoginRow is the last login of a user on a line, or a session that is open now.
type LoginRow struct {
	User    string `json:"user" cbor:"1,keyasint"`
	Line    string `json:"line" cbor:"2,keyasint" store:"own"` // terminal: tty1, pts/0; "" where only the moment is known
	Host    string `json:"host,omitempty" cbor:"3,keyasint,omitempty"`
	At      Time   `json:"at" cbor:"4,keyasint"`
	Session bool   `json:"session" cbor:"5,keyasint"` // the user is logged in there now
	Source  string `json:"source" cbor:"6,keyasint"`  // utmp, wtmp, lastlog
}

// Key implements Row.
func (r *LoginRow) Key() string { return key(r.User, r.Line) }

// SudoRuleRow lets one user or group run commands as somebody else. Of the rules that
// match a command, the last in the order of File and Line decides.
type SudoRuleRow struct {
	Who         string   `json:"who" cbor:"1,keyasint"`
	WhoType     string   `json:"who_type" cbor:"2,keyasint"` // user, uid, group, gid, netgroup, nonunix, all
	Hosts       []string `json:"hosts" cbor:"3,keyasint"`
	RunAs       []string `json:"run_as,omitempty" cbor:"4,keyasint,omitempty"` // users; absent: oneself, with RunAsGroups
	RunAsGroups []string `json:"run_as_groups,omitempty" cbor:"5,keyasint,omitempty"`
	Commands    []string `json:"commands" cbor:"6,keyasint"`                        // aliases expanded; "!" before one forbids it; arguments masked
	NoPassword  *bool    `json:"no_password,omitempty" cbor:"7,keyasint,omitempty"` // NOPASSWD, nopass, Defaults !authenticate; absent when not known
	Tags        []string `json:"tags,omitempty" cbor:"8,keyasint,omitempty"`        // the others: SETENV, NOEXEC, ...
	Except      bool     `json:"except,omitempty" cbor:"9,keyasint,omitempty"`      // the rule is not for Who ("!alice"), or forbids (doas deny)
	File        string   `json:"file" cbor:"10,keyasint"`
	Line        int      `json:"line" cbor:"11,keyasint"`
	Tool        string   `json:"tool" cbor:"12,keyasint"`                        // sudo, doas
	Options     []string `json:"options,omitempty" cbor:"13,keyasint,omitempty"` // ROLE=, CWD=, TIMEOUT=, NOTBEFORE= ...
}

// Key implements Row. The line is not part of it: a rule that moves is the same rule.
func (r *SudoRuleRow) Key() string {
	noPassword := ""
	if r.NoPassword != nil {
		noPassword = strconv.FormatBool(*r.NoPassword)
	}
	return key(r.Tool, r.File, r.WhoType, r.Who, strconv.FormatBool(r.Except), joined(r.Hosts), joined(r.RunAs), joined(r.RunAsGroups),
		noPassword, joined(r.Tags), joined(r.Commands))
}

// AuthorizedKeyRow is a key with which a user can log in by ssh. The key itself is not
// reported.
type AuthorizedKeyRow struct {
	User        string   `json:"user" cbor:"1,keyasint"`
	Type        string   `json:"type" cbor:"2,keyasint"` // ssh-ed25519, ssh-rsa, ...
	Bits        int      `json:"bits,omitempty" cbor:"3,keyasint,omitempty"`
	Fingerprint string   `json:"fingerprint" cbor:"4,keyasint"` // SHA256:..., as ssh-keygen -l prints it
	Comment     string   `json:"comment,omitempty" cbor:"5,keyasint,omitempty"`
	Options     []string `json:"options,omitempty" cbor:"6,keyasint,omitempty"` // from=, command= (masked), no-pty ...
	File        string   `json:"file" cbor:"7,keyasint"`
}

// Key implements Row. A key may stand in a file twice, with and without restrictions: the
// options are part of it.
func (r *AuthorizedKeyRow) Key() string {
	return key(r.User, r.File, r.Fingerprint, strings.Join(r.Options, ","))
}

// TimerRow is a systemd timer.
type TimerRow struct {
	Name        string   `json:"name" cbor:"1,keyasint"` // without .timer
	Description string   `json:"description,omitempty" cbor:"2,keyasint,omitempty"`
	Unit        string   `json:"unit" cbor:"3,keyasint"`     // what it starts
	Schedule    []string `json:"schedule" cbor:"4,keyasint"` // as it is written: "OnCalendar=daily"
	Enabled     string   `json:"enabled,omitempty" cbor:"5,keyasint,omitempty"`
	Active      *bool    `json:"active,omitempty" cbor:"6,keyasint,omitempty"` // systemd waits for it; absent when not known
	Persistent  bool     `json:"persistent" cbor:"7,keyasint"`                 // made up for after the machine was off
	RandomDelay string   `json:"random_delay,omitempty" cbor:"8,keyasint,omitempty"`
	Path        string   `json:"path,omitempty" cbor:"9,keyasint,omitempty"`
}

// Key implements Row.
func (r *TimerRow) Key() string { return r.Name }

// CronJobRow is a command that cron, anacron or at runs.
type CronJobRow struct {
	Source   string `json:"source" cbor:"1,keyasint"` // crontab, spool, periodic, anacron, at
	User     string `json:"user,omitempty" cbor:"2,keyasint,omitempty"`
	Schedule string `json:"schedule" cbor:"3,keyasint"` // "5 4 * * *", "@daily", "every 7 days", a moment for at
	Command  string `json:"command" cbor:"4,keyasint"`  // secrets masked; of at jobs, which are scripts, the file
	File     string `json:"file" cbor:"5,keyasint"`
	Line     int    `json:"line,omitempty" cbor:"6,keyasint,omitempty"`
	Name     string `json:"name,omitempty" cbor:"7,keyasint,omitempty"` // anacron's name of the job
}

// Key implements Row. The line is not part of it.
func (r *CronJobRow) Key() string { return key(r.File, r.User, r.Schedule, r.Command) }

// AutostartRow is something that starts with the machine, a session or a shell and is no
// service.
type AutostartRow struct {
	Kind    string `json:"kind" cbor:"1,keyasint"` // xdg, user-xdg, user-unit, rc-local, profile
	Name    string `json:"name" cbor:"2,keyasint"`
	User    string `json:"user,omitempty" cbor:"3,keyasint,omitempty"` // absent: for all
	Exec    string `json:"exec,omitempty" cbor:"4,keyasint,omitempty"` // command, secrets masked
	Enabled bool   `json:"enabled" cbor:"5,keyasint"`
	Path    string `json:"path" cbor:"6,keyasint"`
}

// Key implements Row.
func (r *AutostartRow) Key() string { return key(r.Kind, r.Path) }

// KernelModuleRow is a module of the running kernel.
type KernelModuleRow struct {
	Name      string   `json:"name" cbor:"1,keyasint"`
	SizeBytes int64    `json:"size_bytes,omitempty" cbor:"2,keyasint,omitempty"`
	Version   string   `json:"version,omitempty" cbor:"3,keyasint,omitempty"`
	Source    string   `json:"source_version,omitempty" cbor:"4,keyasint,omitempty"` // srcversion, a checksum of its sources
	Taint     string   `json:"taint,omitempty" cbor:"5,keyasint,omitempty"`          // O out of tree, E unsigned, P proprietary, ...
	UsedBy    []string `json:"used_by,omitempty" cbor:"6,keyasint,omitempty"`        // modules, sorted
	Path      string   `json:"path,omitempty" cbor:"7,keyasint,omitempty"`           // of its file
}

// Key implements Row.
func (r *KernelModuleRow) Key() string { return r.Name }

// KernelParameterRow is a setting of the running kernel (sysctl).
type KernelParameterRow struct {
	Name       string `json:"name" cbor:"1,keyasint"`
	Value      string `json:"value,omitempty" cbor:"2,keyasint,omitempty"`      // in force; absent when it cannot be read
	Configured string `json:"configured,omitempty" cbor:"3,keyasint,omitempty"` // by the file that counts
	File       string `json:"file,omitempty" cbor:"4,keyasint,omitempty"`
	Differs    bool   `json:"differs,omitempty" cbor:"5,keyasint,omitempty"` // what is in force is not what is configured
}

// Key implements Row.
func (r *KernelParameterRow) Key() string { return r.Name }

// SecurityModuleRow is a security mechanism of the system, or one policy of it.
type SecurityModuleRow struct {
	Module     string `json:"module" cbor:"1,keyasint"`                             // selinux, apparmor, lockdown, yama, fips, audit ...
	Name       string `json:"name,omitempty" cbor:"2,keyasint,omitempty"`           // AppArmor profile; absent for the module itself
	State      string `json:"state,omitempty" cbor:"3,keyasint,omitempty"`          // enforcing, permissive, disabled, enforce, complain ...
	Configured string `json:"configured,omitempty" cbor:"4,keyasint,omitempty"`     // state after the next boot, where that is configured
	Policy     string `json:"policy,omitempty" cbor:"5,keyasint,omitempty"`         // SELinux policy by name
	Version    string `json:"policy_version,omitempty" cbor:"6,keyasint,omitempty"` // version of the loaded policy
}

// Key implements Row.
func (r *SecurityModuleRow) Key() string { return key(r.Module, r.Name) }

// UnitSocketRow is an address on which systemd listens for a service.
type UnitSocketRow struct {
	Name        string `json:"name" cbor:"1,keyasint"`    // without .socket
	Kind        string `json:"kind" cbor:"2,keyasint"`    // stream, datagram, sequential_packet, fifo, special, netlink, message_queue, usb_function
	Address     string `json:"address" cbor:"3,keyasint"` // path, port or address as it is written
	Service     string `json:"service" cbor:"4,keyasint"` // unit it starts
	Description string `json:"description,omitempty" cbor:"5,keyasint,omitempty"`
	Enabled     string `json:"enabled,omitempty" cbor:"6,keyasint,omitempty"`
	Active      *bool  `json:"active,omitempty" cbor:"7,keyasint,omitempty"` // systemd listens; absent when not known
	Accept      bool   `json:"accept" cbor:"8,keyasint"`                     // one service for each connection
	User        string `json:"user,omitempty" cbor:"9,keyasint,omitempty"`   // owner of the socket file
	Group       string `json:"group,omitempty" cbor:"10,keyasint,omitempty"`
	Mode        string `json:"mode,omitempty" cbor:"11,keyasint,omitempty"` // octal, of the socket file
	Path        string `json:"path,omitempty" cbor:"12,keyasint,omitempty"`
}

// Key implements Row.
func (r *UnitSocketRow) Key() string { return key(r.Name, r.Kind, r.Address) }

// EnvironmentRow is a setting that programs of the system inherit.
type EnvironmentRow struct {
	Name   string `json:"name" cbor:"1,keyasint"`   // LANG, PATH, TZ ...; timezone, default_target, runlevel, keymap
	Source string `json:"source" cbor:"2,keyasint"` // file, or "init" for the running init system
	Value  string `json:"value" cbor:"3,keyasint"`
}

// Key implements Row.
func (r *EnvironmentRow) Key() string { return key(r.Name, r.Source) }

// joined makes one part of a key from a list.
func joined(list []string) string { return key(append([]string{""}, list...)...) }
