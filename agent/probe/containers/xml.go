package containers

import (
	"errors"
	"strings"
)

// element is one of an XML document: where it stands, its attributes and, of one
// without others inside, its text.
type element struct {
	path       string // names from the top, with slashes
	attributes string
	text       string
}

var errXML = errors.New("XML is cut off or malformed")

// maxXMLDepth is more than domains have.
const maxXMLDepth = 64

// walkXML visits the elements of a document at their ends. It reads what libvirt
// writes: no document types, no CDATA, names without prefixes. Package encoding/xml
// would add a quarter of a megabyte to the agent for it.
func walkXML(b []byte, visit func(element)) error {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	var open []element
	for {
		text, rest, found := strings.Cut(s, "<")
		if !found {
			break
		}
		s = rest
		if len(open) > 0 {
			open[len(open)-1].text = unescapeXML(strings.TrimSpace(text))
		}
		switch {
		case strings.HasPrefix(s, "!--"):
			if _, s, found = strings.Cut(s, "-->"); !found {
				return errXML
			}
			continue
		case strings.HasPrefix(s, "?"), strings.HasPrefix(s, "!"):
			if _, s, found = strings.Cut(s, ">"); !found {
				return errXML
			}
			continue
		}
		tag, after, ok := cutTag(s)
		if !ok {
			return errXML
		}
		s = after
		if name, closing := strings.CutPrefix(tag, "/"); closing {
			if len(open) == 0 || lastName(open[len(open)-1].path) != strings.TrimSpace(name) {
				return errXML
			}
			visit(open[len(open)-1])
			open = open[:len(open)-1]
			continue
		}
		tag, alone := strings.CutSuffix(tag, "/")
		name, attributes, _ := strings.Cut(strings.ReplaceAll(tag, "\n", " "), " ")
		e := element{path: name, attributes: attributes}
		if len(open) > 0 {
			e.path = open[len(open)-1].path + "/" + name
		}
		if alone {
			visit(e)
		} else if open = append(open, e); len(open) > maxXMLDepth {
			return errXML
		}
	}
	if len(open) > 0 {
		return errXML
	}
	return nil
}

// cutTag cuts what stands before the next ">" that is not within quotes.
func cutTag(s string) (tag, rest string, ok bool) {
	var quote byte
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '>':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// attribute is the value of an attribute, "" when there is none.
func (e element) attribute(name string) string {
	s := e.attributes
	for {
		k, rest, ok := strings.Cut(s, "=")
		rest = strings.TrimLeft(rest, " \t")
		if !ok || rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return ""
		}
		v, after, ok := strings.Cut(rest[1:], rest[:1])
		if !ok {
			return ""
		}
		if strings.TrimSpace(k) == name {
			return unescapeXML(v)
		}
		s = after
	}
}

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

func unescapeXML(s string) string { return entities.Replace(s) }
