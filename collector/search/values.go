package search

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"atalaya/collector/asset"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// Names of what is searched beside the sections of facts.
const (
	sectionHost  = "host"  // what the collector knows of a host itself
	sectionAsset = "asset" // what is declared
)

// value is one text that can be found.
type value struct {
	section, column string
	item            string // key of the row, its parts with blanks between
	text            string // as it is
	identity        bool   // it names the host or asset: found before what the host has
}

// maxValue is how many bytes of a text are looked at, maxTexts how many bytes of one host.
const (
	maxValue = 256
	maxTexts = 64 << 10
)

// unsearched are sections that only repeat what others tell, or change all the time.
var unsearched = []facts.ID{
	facts.Routes, facts.Connections, facts.Neighbours, facts.Logins, facts.PatchState, facts.PackageIndexes, facts.RestartNeeded, facts.Sensors,
	facts.KernelParameters, facts.Processes, facts.ContainerPackages,
}

// onlyColumns are the columns that are searched of sections with many rows or with words
// that all rows share; of others all texts are.
var onlyColumns = map[facts.ID][]string{
	facts.Packages: {"name", "version", "source_package"}, facts.Patches: {"name", "candidate", "advisory", "cves"}, facts.KernelModules: {"name"},
	facts.Services: {"name", "description", "exec"}, facts.CPUs: {"model", "serial"}, facts.Filesystems: {"mount", "device"},
	facts.Kernel: {"release"}, facts.BootSecurity: {"name"}, facts.Groups: {"name", "members"},
}

// identifying are the columns whose values name a host.
var identifying = map[facts.ID][]string{
	facts.OS: {"hostname"}, facts.System: {"serial", "uuid"}, facts.Chassis: {"serial", "asset_tag"}, facts.Board: {"serial", "asset_tag"},
	facts.Interfaces: {"mac", "permanent_mac"}, facts.Addresses: {"address"}, facts.Virtualization: {"instance_id"},
}

// plan says what is searched of the rows of a section.
type plan struct {
	section facts.ID
	name    string
	columns []planColumn
}

type planColumn struct {
	index    int
	name     string
	identity bool
}

// plans returns, for each section, the columns that the items of the dictionary hold and
// those that each host has of its own.
func plans() (items, hosts map[facts.ID]plan) {
	items, hosts = map[facts.ID]plan{}, map[facts.ID]plan{}
	for _, s := range facts.Sections() {
		if slices.Contains(unsearched, s.ID) {
			continue
		}
		row := reflect.TypeOf(s.New()).Elem()
		own := store.HostColumns(s.ID)
		item, host := plan{section: s.ID, name: s.Name}, plan{section: s.ID, name: s.Name}
		for i := range row.NumField() {
			name, _, _ := strings.Cut(row.Field(i).Tag.Get("json"), ",")
			kind := row.Field(i).Type
			text := kind.Kind() == reflect.String || kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String
			if only := onlyColumns[s.ID]; !text || only != nil && !slices.Contains(only, name) {
				continue
			}
			c := planColumn{i, name, slices.Contains(identifying[s.ID], name)}
			if store.Shared(s.ID) && !slices.Contains(own, name) {
				item.columns = append(item.columns, c)
			} else {
				host.columns = append(host.columns, c)
			}
		}
		if len(item.columns) > 0 {
			items[s.ID] = item
		}
		if len(host.columns) > 0 {
			hosts[s.ID] = host
		}
	}
	return items, hosts
}

// each calls fn for the texts of a row.
func (p plan) each(row facts.Row, fn func(value)) {
	v := reflect.ValueOf(row).Elem()
	item := ""
	give := func(c planColumn, text string) {
		if text == "" {
			return
		}
		if item == "" {
			item = strings.Join(facts.KeyParts(row.Key()), " ")
		}
		fn(value{p.name, c.name, item, text, c.identity})
	}
	for _, c := range p.columns {
		f := v.Field(c.index)
		if f.Kind() == reflect.String {
			give(c, f.String())
			continue
		}
		for i := range f.Len() {
			give(c, f.Index(i).String())
		}
	}
}

// The marks that stand before each value in a text that is searched, and at its end.
// Values hold no control characters there, nor do words that are looked for.
const (
	markIdentity = 0x1d
	markValue    = 0x1f
)

// appendValue adds a value to a text that is searched: in small letters, without control
// characters.
func appendValue(dst []byte, v value) []byte {
	mark := byte(markValue)
	if v.identity {
		mark = markIdentity
	}
	dst = append(dst, mark)
	return append(dst, folded(v.text)...)
}

func folded(text string) string {
	if len(text) > maxValue {
		text = text[:maxValue]
	}
	text = strings.ToLower(strings.ToValidUTF8(text, "\ufffd"))
	if strings.IndexFunc(text, control) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if control(r) {
			return ' '
		}
		return r
	}, text)
}

func control(r rune) bool { return r < 0x20 }

// hostValues gives the texts of a host: its own, and of its facts those that no other
// host shares.
func hostValues(tx *store.Tx, h store.Host, plans map[facts.ID]plan, fn func(value)) error {
	fn(value{sectionHost, "name", "", h.Name, true})
	fn(value{sectionHost, "id", "", h.ID.String(), true})
	for _, tag := range h.Tags {
		fn(value{sectionHost, "tag", "", tag, false})
	}
	r, ok, err := asset.OfHost(tx, h.ID)
	if err != nil {
		return err
	}
	if ok {
		assetValues(r, fn)
	}
	states, err := tx.Sections(h.ID)
	if err != nil {
		return err
	}
	for _, st := range states {
		p, ok := plans[st.Section]
		if !ok || st.Rows == 0 {
			continue
		}
		err := tx.Rows(h.ID, st.Section, func(_ string, data []byte) error {
			row, err := wire.DecodeRow(st.Section, data)
			if err != nil {
				return err
			}
			p.each(row, fn)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// assetValues gives what is declared of an asset.
func assetValues(r asset.Record, fn func(value)) {
	fn(value{sectionAsset, "asset", "", r.ID.String(), true})
	for name, text := range r.Values {
		if name != asset.FieldHost && name != asset.FieldTags {
			fn(value{sectionAsset, name, "", text, name == asset.FieldTag || name == asset.FieldSerial || name == asset.FieldName})
		}
	}
}

// textOf joins values to a text that is searched.
func textOf(gather func(func(value)) error) ([]byte, error) {
	var b []byte
	err := gather(func(v value) {
		if len(b) < maxTexts {
			b = appendValue(b, v)
		}
	})
	return append(bytes.Clone(b), markValue), err
}
