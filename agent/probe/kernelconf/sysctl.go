package kernelconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const sysDir = "/proc/sys"

// secret reports what is never read: random numbers and keys.
func secret(name string) bool {
	return strings.HasPrefix(name, "kernel/random/") || strings.HasSuffix(name, "_key") || strings.HasSuffix(name, "_secret")
}

// maxValue bounds one value; the longest are lists of some hundred bytes.
const maxValue = 2000

// fewDenied are how many parameters the kernel shows to nobody but root, whatever rights
// others have: fs.protected_*, vm.mmap_rnd_bits and the like. They stand without a value. More
// of them are folders without rights.
const fewDenied = 8

// collectParameters reads what is in force, then what is configured.
func collectParameters(h *probe.Host, r *probe.Report) {
	rows := make(map[string]*facts.KernelParameterRow)
	var problem error
	denied := make(map[string]bool)
	_, err := h.Stat(sysDir + "/kernel")
	if err == nil {
		for _, name := range parameters {
			if errors.Is(addValue(h, rows, name), fs.ErrPermission) {
				denied[dotted(name)] = true
			}
		}
	} else if !probe.Absent(err) {
		problem = err
	}
	problem = errors.Join(problem, configure(h, rows))
	if err != nil && problem == nil && len(rows) == 0 {
		problem = fmt.Errorf("there is no %s: %w", sysDir, errors.ErrUnsupported)
	}
	switch {
	case problem != nil:
		r.Problem(facts.KernelParameters, problem)
	case len(denied) > fewDenied:
		r.Hidden(facts.KernelParameters, fmt.Errorf("%d parameters below %s: %w", len(denied), sysDir, fs.ErrPermission),
			func(row facts.Row) bool { return denied[row.Key()] })
	case len(denied) > 0:
		for name := range denied {
			if rows[swap.Replace(name)] == nil {
				rows[swap.Replace(name)] = &facts.KernelParameterRow{Name: name}
			}
		}
		r.Remark(facts.KernelParameters, "only root may read "+strings.Join(slices.Sorted(maps.Keys(denied)), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r.Add(facts.KernelParameters, rows[name])
	}
}

// addValue reads one parameter. What is not there is unknown to this kernel.
func addValue(h *probe.Host, rows map[string]*facts.KernelParameterRow, name string) error {
	if rows[name] != nil {
		return nil
	}
	data, err := h.ReadFile(path.Join(sysDir, name))
	if err == nil {
		rows[name] = &facts.KernelParameterRow{Name: dotted(name), Value: plainValue(string(data))}
	}
	return err
}

// plainValue has one blank for each run of blanks and line breaks, and no secrets.
func plainValue(s string) string {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "\t\n  ") {
		s = strings.Join(strings.Fields(s), " ")
	}
	s = probe.Mask(s) // core_pattern is a command line
	if len(s) > maxValue {
		s = s[:maxValue-3] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// swap is how names in files and names with dots belong together: interfaces may have a
// dot, which is then a slash (sysctl.d(5)).
var swap = strings.NewReplacer("/", ".", ".", "/")

func dotted(name string) string { return swap.Replace(name) }

// sysctlDirs are those of sysctl.d(5), highest precedence first: of files with one name
// the first counts.
var sysctlDirs = []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"}

// setting is a line of a file: the last that matches counts, but one with wildcards gives
// way to one without.
type setting struct{ name, value, file string }

// configure adds what the files say to the parameters.
func configure(h *probe.Host, rows map[string]*facts.KernelParameterRow) error {
	var problems probe.Problems
	order := probe.DropIns(sysctlDirs, func(dir string) []fs.DirEntry {
		entries, err := h.ReadDir(dir)
		if err != nil && !probe.Absent(err) {
			problems.Add(err)
		}
		return entries
	})
	order = append(order, "/etc/sysctl.conf") // procps reads it last; systemd by a link
	var exact, globs []setting
	except := make(map[string]bool)
	for _, file := range order {
		data, err := h.ReadFile(file)
		if err != nil {
			if !probe.Absent(err) && !errors.Is(err, fs.ErrNotExist) {
				problems.Add(err)
			}
			continue
		}
		for _, s := range parseSysctl(string(data)) {
			s.file = file
			switch {
			case s.value == "":
				except[s.name] = true
			case strings.ContainsAny(s.name, "*?["):
				globs = append(globs, s)
			default:
				exact = append(exact, s)
			}
		}
	}
	for _, s := range globs {
		problems.Add(applyGlob(h, rows, s, except))
	}
	for _, s := range exact {
		apply(h, rows, s)
	}
	return problems.Err()
}

// maxMatches bounds what one pattern sets: a machine with 10,000 interfaces has that many
// of each of their parameters.
const maxMatches = 200

func applyGlob(h *probe.Host, rows map[string]*facts.KernelParameterRow, s setting, except map[string]bool) error {
	names, err := h.Glob(path.Join(sysDir, s.name))
	if err != nil {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	for i, name := range names {
		if i >= maxMatches {
			return fmt.Errorf("%s: only %d parameters of %s are reported", s.file, maxMatches, s.name)
		}
		if s.name = strings.TrimPrefix(name, sysDir+"/"); !except[s.name] {
			apply(h, rows, s)
		}
	}
	return nil
}

func apply(h *probe.Host, rows map[string]*facts.KernelParameterRow, s setting) {
	if secret(s.name) {
		return
	}
	err := addValue(h, rows, s.name)
	row := rows[s.name]
	if err != nil { // told as it is configured
		row = &facts.KernelParameterRow{Name: dotted(s.name)}
		rows[s.name] = row
	}
	row.Configured, row.File = plainValue(s.value), s.file
	row.Differs = row.Value != "" && row.Value != row.Configured
}

// parseSysctl reads "name = value" lines; "-name" ignores errors, and without a value takes
// a parameter out of patterns (then the value is ""). Names come with slashes.
func parseSysctl(text string) []setting {
	var out []setting
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, minus := strings.CutPrefix(strings.TrimSpace(name), "-")
		value = strings.TrimSpace(value)
		if !ok && !minus || ok && value == "" || name == "" || strings.ContainsAny(name, " \t\x00") {
			continue
		}
		if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
			name = swap.Replace(name)
		}
		name = strings.Trim(path.Clean("/"+name), "/")
		if strings.HasPrefix(name, "fs/binfmt_misc") { // an automount
			continue
		}
		out = append(out, setting{name: name, value: value})
	}
	return out
}
