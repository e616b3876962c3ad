package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// node reads package.json of the packages in node_modules, those inside of others too.
var node = language{
	source: "npm",
	places: []string{
		"/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/lib64/node_modules", "/var/www/*/node_modules",
		"~/.nvm/versions/node/*/lib/node_modules", "~/.npm-global/lib/node_modules", "~/.local/lib/node_modules",
	},
	folder: func(name, _ string) bool { return name == "node_modules" },
	list:   listNode,
	read: func(h *probe.Host, mark string, t *texts) (*facts.PackageRow, error) {
		data, err := readHead(h, mark)
		if err != nil {
			return nil, gone(err)
		}
		return parseNode(data, t)
	},
}

const (
	// maxNodeDepth bounds packages inside of packages.
	maxNodeDepth = 12
	// maxNodePlace bounds the packages of one place.
	maxNodePlace = 5000
)

func listNode(h *probe.Host, place string) ([]string, error) {
	var out []string
	err := addNode(h, place, 0, &out)
	return out, err
}

// addNode adds the packages of a node_modules, those with a scope (@scope/name), and
// what they bring themselves.
func addNode(h *probe.Host, place string, depth int, out *[]string) error {
	entries, err := h.ReadDir(place)
	if errors.Is(err, fs.ErrNotExist) || depth > maxNodeDepth {
		return nil
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") { // links lead to what is listed elsewhere
			continue
		}
		dir := path.Join(place, e.Name())
		if strings.HasPrefix(e.Name(), "@") && !strings.HasPrefix(path.Base(place), "@") {
			err = errors.Join(err, addNode(h, dir, depth+1, out))
			continue
		}
		if len(*out) >= maxNodePlace {
			return fmt.Errorf("%s: more than %d packages", place, maxNodePlace)
		}
		*out = append(*out, path.Join(dir, "package.json"))
		err = errors.Join(err, addNode(h, path.Join(dir, "node_modules"), depth+1, out))
	}
	return err
}

// ParseNode reads the package.json of an installed package.
func ParseNode(data []byte) ([]facts.Row, error) {
	row, err := parseNode(data, new(texts))
	if row == nil {
		return nil, err
	}
	row.Source = node.source
	return []facts.Row{row}, err
}

func parseNode(data []byte, t *texts) (*facts.PackageRow, error) {
	var p struct {
		Name    string          `json:"name"`
		Version string          `json:"version"`
		Author  json.RawMessage `json:"author"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("package.json: %w", err)
	}
	if p.Name == "" || p.Version == "" {
		return nil, nil // of a part of a package, which is no package itself
	}
	row := t.row()
	row.Name, row.Version = text(t, []byte(p.Name)), text(t, []byte(p.Version))
	var author struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(p.Author, &author.Name) != nil && json.Unmarshal(p.Author, &author) != nil {
		return row, nil // an author in a form of its own
	}
	row.Vendor = text(t, []byte(author.Name))
	return row, nil
}
