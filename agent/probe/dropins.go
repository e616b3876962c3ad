package probe

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// DropIns returns the configuration files of some folders, those that end in ".conf":
// of files with one name that in the first folder counts, and they apply in the order
// of their names (sysctl.d(5), systemd.unit(5)). list gives the entries of a folder.
func DropIns(folders []string, list func(folder string) []fs.DirEntry) []string {
	files := make(map[string]string)
	for _, folder := range folders {
		for _, e := range list(folder) {
			if _, ok := files[e.Name()]; !ok && strings.HasSuffix(e.Name(), ".conf") {
				files[e.Name()] = path.Join(folder, e.Name())
			}
		}
	}
	out := make([]string, 0, len(files))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out = append(out, files[name])
	}
	return out
}
