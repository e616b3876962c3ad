package packages

import (
	"bytes"
	"encoding/json"
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
		"~/.local/share/pnpm/global/*/node_modules", "~/.local/share/pnpm/global/*/.pnpm",
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
	n := nodeList{host: h, top: place}
	if isStore(path.Base(place)) {
		n.addStore(place, 0)
	} else {
		n.add(place, 0)
	}
	if n.over {
		n.problems.Add(fmt.Errorf("%s: more than %d packages", place, maxNodePlace))
	}
	return n.marks, n.problems.Err()
}

// nodeList gathers the packages of one place.
type nodeList struct {
	host     *probe.Host
	top      string
	remote   *probe.Remotes // nil until there is a link
	marks    []string
	over     bool // there are more
	problems probe.Problems
}

func (n *nodeList) mark(dir string) {
	if n.over = n.over || len(n.marks) >= maxNodePlace; !n.over {
		n.marks = append(n.marks, path.Join(dir, "package.json"))
	}
}

func (n *nodeList) list(dir string, depth int) []fs.DirEntry {
	if n.over || depth > maxNodeDepth {
		return nil
	}
	entries, err := n.host.ReadDir(dir)
	n.problems.Add(gone(err))
	return entries
}

// add adds the packages of a node_modules, those with a scope (@scope/name), and what they
// bring themselves.
func (n *nodeList) add(place string, depth int) {
	for _, e := range n.list(place, depth) {
		dir := path.Join(place, e.Name())
		switch {
		case isStore(e.Name()) && e.IsDir():
			n.addStore(dir, depth+1)
		case strings.HasPrefix(e.Name(), "."): // programs and caches
		case e.Type()&fs.ModeSymlink != 0:
			n.addLinked(place, dir)
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), "@") && !strings.HasPrefix(path.Base(place), "@"):
			n.add(dir, depth+1)
		default:
			n.mark(dir)
			n.add(path.Join(dir, "node_modules"), depth+1)
		}
	}
}

// isStore knows the folders to which pnpm, Bun, and npm and Yarn with linked packages let
// the links in node_modules lead.
func isStore(name string) bool { return name == ".pnpm" || name == ".bun" || name == ".store" }

// addStore adds the packages of a store: STORE/x/node_modules/NAME, of Yarn STORE/x/package.
func (n *nodeList) addStore(store string, depth int) {
	for _, e := range n.list(store, depth) {
		if !e.IsDir() {
			continue
		}
		dir := path.Join(store, e.Name())
		n.add(path.Join(dir, "node_modules"), depth+1)
		if path.Base(store) == ".store" {
			n.mark(path.Join(dir, "package"))
		}
	}
}

// addLinked adds a package where it lies, if that is not in the place itself: a part of
// the project (workspaces), or one that somebody works on (npm link).
func (n *nodeList) addLinked(place, link string) {
	if n.remote == nil {
		n.remote = n.host.Remotes()
	}
	target, err := n.host.Readlink(link)
	if !path.IsAbs(target) {
		target = path.Join(place, target)
	}
	if err == nil && !below(target, n.top) && !n.remote.Hold(target) {
		n.mark(target)
	}
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
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &p); err != nil { // npm takes a byte-order mark too
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
