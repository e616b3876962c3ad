package rpmmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Stream is one stream of a module, with its artifacts of wanted names.
type Stream struct {
	Module string `json:"module"`
	Stream string `json:"stream"`
	// Packages are name-epoch:version-release.arch.
	Packages []string `json:"packages,omitempty"`
}

// Modules is what modules.yaml says.
type Modules struct {
	Streams  []Stream          `json:"streams"`
	Defaults map[string]string `json:"defaults"` // module: its default stream
}

// maxLine bounds one line of modules.yaml.
const maxLine = 1 << 20

// ReadModules reads modules.yaml: documents of modulemd and modulemd-defaults. It knows
// the form that libmodulemd writes, not YAML at large: mappings indented by two, one
// value a line.
func ReadModules(stop func() error, r io.Reader, wanted func(name []byte) bool) (Modules, error) {
	m := Modules{Defaults: make(map[string]string)}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var d moduleDocument
	ended := false
	for n := 0; lines.Scan(); n++ {
		if n%4096 == 0 {
			if err := stop(); err != nil {
				return m, err
			}
		}
		line := lines.Text()
		switch {
		case strings.IndexByte(line, 0) >= 0:
			return m, errors.New("damaged: it has NUL bytes")
		case line == "---" || line == "...":
			d.finish(&m)
			d, ended = moduleDocument{}, line == "..."
		default:
			d.line(line, wanted)
			ended = false
		}
	}
	if err := lines.Err(); err != nil {
		return m, fmt.Errorf("modules: %w", err)
	}
	d.finish(&m)
	if !ended && (len(m.Streams) > 0 || len(m.Defaults) > 0) {
		return m, errors.New("cut off: the last document does not end")
	}
	return m, nil
}

// moduleDocument is one document in the making.
type moduleDocument struct {
	kind                 string
	module, name, stream string
	packages             []string
	section, inner       string // keys that are open at indent 2 and 4
}

func (d *moduleDocument) line(line string, wanted func([]byte) bool) {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if item, ok := strings.CutPrefix(text, "- "); ok {
		item = unquote(item)
		if d.section == "artifacts" && d.inner == "rpms" && wanted([]byte(NameOf(item))) {
			d.packages = append(d.packages, item)
		}
		return
	}
	key, value, ok := strings.Cut(text, ":")
	if !ok {
		return
	}
	value = unquote(strings.TrimSpace(value))
	switch indent {
	case 0:
		d.section = ""
		if key == "document" {
			d.kind = value
		}
	case 2:
		d.section, d.inner = key, ""
		switch key {
		case "name":
			d.name = value
		case "module":
			d.module = value
		case "stream":
			d.stream = value
		}
	case 4:
		d.inner = key
	}
}

func (d *moduleDocument) finish(m *Modules) {
	switch {
	case strings.HasPrefix(d.kind, "modulemd-defaults") && d.module != "" && d.stream != "":
		m.Defaults[d.module] = d.stream
	case d.kind == "modulemd" && d.name != "" && len(d.packages) > 0:
		m.Streams = append(m.Streams, Stream{d.name, d.stream, d.packages})
	}
}

func unquote(s string) string { return strings.Trim(s, `"'`) }

// NameOf returns the name in name-version-release.arch.
func NameOf(nevra string) string {
	for range 2 {
		i := strings.LastIndexByte(nevra, '-')
		if i < 0 {
			return nevra
		}
		nevra = nevra[:i]
	}
	return nevra
}
