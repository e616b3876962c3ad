package query

import (
	_ "embed"
	"strings"
	"sync"
)

// columnsFile has a line for each column of facts that has a comment in shared/facts:
// section, column, meaning. `go test . -run DataModel -update` writes it.
//
//go:embed columns.tsv
var columnsFile string

var explained = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(columnsFile) {
		if section, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			if column, text, ok := strings.Cut(rest, "\t"); ok {
				out[section+"."+column] = text
			}
		}
	}
	return out
})

// plainColumns are names that mean the same in every section and need no comment there.
var plainColumns = map[string]string{
	"name": "its name", "version": "as the host writes it", "arch": "architecture", "vendor": "who made it", "manufacturer": "who made it",
	"product": "its name by the maker", "model": "its name by the maker", "serial": "number given by the maker", "uuid": "unique number",
	"source": "where it was read or came from", "state": "as the host calls it", "status": "as the host calls it", "type": "its kind", "kind": "its kind",
	"path": "of the file or folder", "device": "it lies on or belongs to", "interface": "of the network", "address": "of the network",
	"family": "kind of system or address", "user": "name of the account", "group": "name of the group", "uid": "number of the account",
	"gid": "number of the group", "pid": "number of the process", "port": "number of the port", "protocol": "tcp, udp ...",
	"description": "one line for people", "enabled": "whether it starts by itself", "mount": "where it is mounted", "options": "as they are set",
	"firmware": "version of its firmware", "driver": "that serves it", "bus": "and place of the device", "label": "given by people",
}

// units are the endings of names that tell a unit.
var units = []struct{ ending, text string }{
	{"_bytes", "in bytes"}, {"_bits", "in bits a second"}, {"_seconds", "in seconds"}, {"_at", "moment, UTC"}, {"_time", "moment, UTC"},
	{"_mhz", "in megahertz"}, {"_ratio", "share, 0 to 1"}, {"_celsius", "in degrees Celsius"}, {"_id", "number or name by which others refer to it"},
}

// columnDoc tells what a column of facts means.
func columnDoc(section, column string) string {
	if text := explained()[section+"."+column]; text != "" {
		return text
	}
	if text := plainColumns[column]; text != "" {
		return text
	}
	for _, u := range units {
		if strings.HasSuffix(column, u.ending) {
			return u.text
		}
	}
	return strings.ReplaceAll(column, "_", " ")
}
