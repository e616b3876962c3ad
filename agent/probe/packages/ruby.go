package packages

import (
	"bytes"
	"errors"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// ruby reads the specifications of installed gems. They are Ruby programs as RubyGems
// writes them (lib/rubygems/specification.rb, to_ruby); the lines that count are
// understood, nothing is run.
var ruby = language{
	source: "gem",
	places: []string{
		"/usr/share/rubygems-integration/*/specifications", "/var/lib/gems/*/specifications", "/usr/share/gems/specifications",
		"/usr/lib/ruby/gems/*/specifications", "/usr/lib64/ruby/gems/*/specifications", "/usr/lib64/gems/ruby/specifications",
		"/usr/local/lib/ruby/gems/*/specifications", "/usr/local/bundle/specifications",
		"~/.gem/ruby/*/specifications", "~/.local/share/gem/ruby/*/specifications", "~/.rvm/gems/*/specifications",
		"~/.rbenv/versions/*/lib/ruby/gems/*/specifications",
	},
	inside: "default", // what comes with Ruby itself
	folder: func(name, parent string) bool { return name == "specifications" && hasGems(parent) },
	list:   func(h *probe.Host, place string) ([]string, error) { return listMarks(h, place, ".gemspec") },
	read: func(h *probe.Host, mark string, t *texts) (*facts.PackageRow, error) {
		data, err := readHead(h, mark)
		if err != nil {
			return nil, gone(err)
		}
		return parseGemspec(data, t)
	},
}

// hasGems tells the folder of RubyGems from others that hold specifications.
func hasGems(parent string) bool {
	return strings.Contains(parent, "/gems") || strings.Contains(parent, "/ruby")
}

// ParseGemspec reads an installed specification.
func ParseGemspec(data []byte) ([]facts.Row, error) {
	row, err := parseGemspec(data, new(texts))
	if row == nil {
		return nil, err
	}
	row.Source = ruby.source
	return []facts.Row{row}, err
}

func parseGemspec(data []byte, t *texts) (*facts.PackageRow, error) {
	row := t.row()
	for len(data) > 0 && (row.Name == "" || row.Version == "" || row.Vendor == "") {
		line, rest := probe.NextLine(data)
		data = rest
		left, right, ok := bytes.Cut(bytes.TrimSpace(line), []byte("="))
		_, field, dot := bytes.Cut(bytes.TrimSpace(left), []byte("."))
		if !ok || !dot {
			continue
		}
		value, ok := rubyString(right)
		if !ok {
			continue
		}
		switch string(field) {
		case "name":
			row.Name = text(t, value)
		case "version":
			row.Version = text(t, value)
		case "platform":
			row.Arch = text(t, value)
		case "authors":
			row.Vendor = text(t, value)
		}
	}
	if row.Name == "" || row.Version == "" {
		return nil, errors.New("no name or version")
	}
	return row, nil
}

// rubyString returns the first literal of a line: "x".freeze, ["x".freeze, ...],
// Gem::Version.new "x".
func rubyString(b []byte) ([]byte, bool) {
	from := bytes.IndexAny(b, `"'`)
	if from < 0 {
		return nil, false
	}
	to := bytes.IndexByte(b[from+1:], b[from])
	if to < 0 {
		return nil, false
	}
	return b[from+1 : from+1+to], true
}
