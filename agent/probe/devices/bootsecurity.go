package devices

import (
	"errors"
	"io/fs"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	efiFolder           = "/sys/firmware/efi"
	efiVars             = efiFolder + "/efivars/"
	lockdownFile        = "/sys/kernel/security/lockdown"
	vulnerabilityFolder = "/sys/devices/system/cpu/vulnerabilities"

	// The vendors of EFI variables: the UEFI specification's (3.3) and shim's.
	globalVariable = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	shimLock       = "-605dab50-e046-4300-abb6-3dd810dd8b23"
)

// collectBootSecurity reports how the system was booted, what guards the boot, and what
// the kernel says of the weaknesses of the processor
// (Documentation/ABI/testing/sysfs-devices-system-cpu).
func collectBootSecurity(h *probe.Host, r *probe.Report) {
	row := func(name, state, detail string) {
		r.Add(facts.BootSecurity, &facts.BootSecurityRow{Name: name, State: state, Detail: detail})
	}
	switch _, err := h.Stat(efiFolder); {
	case err == nil:
		row("boot_mode", "efi", "")
		collectEFI(h, r, row)
	case errors.Is(err, fs.ErrNotExist) && exists(h, "/sys/firmware"):
		row("boot_mode", "legacy", "")
	}
	if mode := chosen(h.ReadString(lockdownFile)); mode != "" {
		row("lockdown", mode, "")
	}
	entries, err := h.ReadDir(vulnerabilityFolder)
	if err != nil && !exists(h, "/sys/firmware") {
		problem(r, facts.BootSecurity, "/sys", err)
	}
	for _, e := range entries {
		if text := printable(h.ReadString(vulnerabilityFolder + "/" + e.Name())); text != "" {
			row("vulnerability:"+e.Name(), vulnerability(text), text)
		}
	}
}

func exists(h *probe.Host, path string) bool {
	_, err := h.Stat(path)
	return err == nil
}

// collectEFI reads the variables that say whether boot loaders are checked. A variable
// is four bytes of attributes and its value; efivarfs may not be mounted.
func collectEFI(h *probe.Host, r *probe.Report, row func(name, state, detail string)) {
	flag := func(variable string) (on, ok bool) {
		b, err := h.ReadFile(efiVars + variable)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.Problem(facts.BootSecurity, err)
		}
		if err != nil || len(b) != 5 {
			return false, false
		}
		return b[4] == 1, true
	}
	if on, ok := flag("SecureBoot" + globalVariable); ok {
		row("secure_boot", word(on), "")
	} else if entries, err := h.ReadDir(strings.TrimSuffix(efiVars, "/")); err == nil && len(entries) > 0 {
		row("secure_boot", "unsupported", "") // firmware without it has no such variable
	}
	if on, ok := flag("SetupMode" + globalVariable); ok {
		row("setup_mode", word(on), "")
	}
	if off, ok := flag("MokSBStateRT" + shimLock); ok {
		row("shim_validation", word(!off), "")
	}
}

func word(on bool) string {
	if on {
		return "enabled"
	}
	return "disabled"
}

// chosen is the word in brackets: "none [integrity] confidentiality".
func chosen(s string) string {
	_, after, _ := strings.Cut(s, "[")
	mode, _, ok := strings.Cut(after, "]")
	if !ok {
		return ""
	}
	return mode
}

// vulnerability takes the verdict out of the kernel's words.
func vulnerability(text string) string {
	switch {
	case strings.HasPrefix(text, "Not affected"):
		return "not affected"
	case strings.HasPrefix(text, "Mitigation"), strings.HasPrefix(text, "KVM: Mitigation"):
		return "mitigated"
	case strings.HasPrefix(text, "Vulnerable"), strings.HasPrefix(text, "KVM: Vulnerable"), strings.HasPrefix(text, "Processor vulnerable"):
		return "vulnerable"
	}
	return "unknown"
}
