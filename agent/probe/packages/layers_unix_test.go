//go:build unix

package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func containerRows(r probetest.Section) []string {
	var got []string
	for _, row := range r.Rows {
		c := row.(*facts.ContainerPackageRow)
		got = append(got, fmt.Sprint(c.Container[:4], " ", c.Source, " ", c.Name, " ", c.Version, " ", c.OS))
	}
	return got
}

// storedTree has a container of Docker of three layers, one of Podman, and a running one whose
// process has no root there.
func storedTree() map[string]string {
	docker, podman := strings.Repeat("d", 64), strings.Repeat("e", 64)
	const base, own = "var/lib/docker/overlay2/base/diff/", "var/lib/docker/overlay2/own/diff/"
	apk := func(name string) string { return "P:" + name + "\nV:1-r0\nA:x86_64\n\n" }
	return map[string]string{
		dockerRoot[1:] + "/" + dockerMounts + "/" + docker + "/mount-id": "own",
		"var/lib/docker/overlay2/own/lower":                              "l/MID:l/BASE",
		"var/lib/docker/overlay2/l/MID":                                  "-> ../mid/diff",
		"var/lib/docker/overlay2/l/BASE":                                 "-> ../base/diff",
		base + "usr/lib/os-release":                                      "ID=alpine\nVERSION_ID=3.20\n",
		base + "etc/os-release":                                          "-> ../usr/lib/os-release",
		base + "lib/apk/db/installed":                                    apk("old"),
		base + "app/node_modules/left-pad/package.json":                  packageJSON,
		base + "app/node_modules/gone/package.json":                      strings.Replace(packageJSON, "left-pad", "gone", 1),
		base + "srv/node_modules/below/package.json":                     strings.Replace(packageJSON, "left-pad", "below", 1),
		"var/lib/docker/overlay2/mid/diff/usr/lib/os-release":            "ID=alpine\nVERSION_ID=3.21\n",
		"var/lib/docker/overlay2/mid/diff/srv/.wh..wh..opq":              "",
		own + "lib/apk/db/installed":                                     apk("musl"),
		own + "app/node_modules/.wh.gone":                                "",
		podmanRoot[1:] + "/overlay-containers/containers.json":           `[{"id":"` + podman + `","layer":"ff","names":["db"]}]`,
		podmanRoot[1:] + "/overlay/ff/diff/lib/apk/db/installed":         apk("busybox"),
		"etc/hostname": "a\n",
	}
}

func TestLayersOfContainersAreMerged(t *testing.T) {
	root := probetest.Tree(t, storedTree())
	want := []string{"dddd apk musl 1-r0 alpine 3.21", "dddd npm left-pad 1.3.0 alpine 3.21", "eeee apk busybox 1-r0 "}
	h, p := probe.RootHost(root), NewContainers()
	for range 2 { // the second time from what is kept
		r := probetest.Sections(h, p)["container_packages"]
		if got := containerRows(r); !reflect.DeepEqual(got, want) || r.Status != facts.StatusOK {
			t.Errorf("%v (%s)\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
		}
	}
	// What overlayfs itself leaves in the place of what was removed.
	at := filepath.Join(root, "var/lib/docker/overlay2/own/diff/app/node_modules/left-pad")
	if err := syscall.Mknod(at, syscall.S_IFCHR, 0); err != nil {
		t.Skip("only root may make devices")
	}
	if got := containerRows(probetest.Sections(h, NewContainers())["container_packages"]); !reflect.DeepEqual(got, append(want[:1:1], want[2])) {
		t.Errorf("with a whiteout: %q", got)
	}
}

func TestAContainerWithoutARootIsTold(t *testing.T) {
	f := func(status facts.Status, rows int, reason string, change func(files map[string]string)) {
		t.Helper()
		files := storedTree()
		change(files)
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), NewContainers())["container_packages"]
		if r.Status != status || len(r.Rows) != rows || !strings.Contains(r.Reason, reason) {
			t.Errorf("%v with %d rows (%s), want %v with %d (%s)", r.Status, len(r.Rows), r.Reason, status, rows, reason)
		}
	}
	f(facts.StatusPartial, 3, "container cccccccccccc: no root of it is here", func(files map[string]string) {
		files["sys/fs/cgroup/system.slice/docker-"+strings.Repeat("c", 64)+".scope/cgroup.procs"] = "77\n"
	})
	f(facts.StatusPartial, 1, "container dddddddddddd: a layer cannot be read", func(files map[string]string) { delete(files, "var/lib/docker/overlay2/l/MID") })
	f(facts.StatusPartial, 3, "only its database tells", func(files map[string]string) { files[containerdLayers[1:]+"/1/fs/etc/hostname"] = "a\n" })
	f(facts.StatusPartial, 2, "containers.json", func(files map[string]string) { files[podmanRoot[1:]+"/overlay-containers/containers.json"] = "[{" })
	f(facts.StatusPartial, 3, "container dddddddddddd: what was removed as a whole folder cannot be told: it takes CAP_SYS_ADMIN", func(files map[string]string) {
		files["proc/self/status"] = "Name:\ta\nCapEff:\t0000000000080004\n" // as the installed service
	})
	f(facts.StatusOK, 3, "", func(files map[string]string) { files["proc/self/status"] = "Name:\ta\nCapEff:\t0000000000200000\n" })
	f(facts.StatusUnsupported, 0, "neither control groups nor layers", func(files map[string]string) { clear(files) })
	f(facts.StatusEmpty, 0, "", func(files map[string]string) {
		clear(files)
		files["var/lib/docker/containers/"] = ""
	})
	f(facts.StatusFailed, 0, "container dddddddddddd: no root of it is here", func(files map[string]string) {
		clear(files)
		files["var/lib/docker/containers/"+strings.Repeat("d", 64)+"/config.v2.json"] = "{}" // its layers are containerd's
	})
	f(facts.StatusFailed, 0, "container eeeeeeeeeeee: no root of it is here", func(files map[string]string) {
		clear(files)
		files[podmanRoot[1:]+"/vfs-containers/containers.json"] = `[{"id":"` + strings.Repeat("e", 64) + `","layer":"ff"}]`
	})
}

// TestContainersAreFoundWhereTheirEngineIsTold: and where people run theirs.
func TestContainersAreFoundWhereTheirEngineIsTold(t *testing.T) {
	layer := map[string]string{ // in the place of the usual root
		"var/lib/docker": "/overlay2/own/diff/lib/apk/db/installed", podmanRoot[1:]: "/overlay/ff/diff/lib/apk/db/installed",
	}
	f := func(from, to string, more map[string]string) {
		t.Helper()
		files := make(map[string]string)
		for name, content := range storedTree() {
			if rest, ok := strings.CutPrefix(name, from+"/"); ok {
				files[to+"/"+rest] = content
			}
		}
		if files[to+layer[from]] == "" {
			t.Fatalf("no layer among %d files", len(files))
		}
		for name, content := range more {
			files[name] = content
		}
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), NewContainers())["container_packages"]
		if len(r.Rows) == 0 || r.Status != facts.StatusOK {
			t.Errorf("%s: %v with %d rows (%s)", to, r.Status, len(r.Rows), r.Reason)
		}
	}
	f("var/lib/docker", "srv/docker", map[string]string{"etc/docker/daemon.json": `{"data-root":"/srv/docker/"}`})
	f("var/lib/docker", "srv/docker", map[string]string{"etc/docker/daemon.json": `{"graph":"/srv/docker"}`})
	f("var/lib/docker", "home/ann/.local/share/docker", nil)
	f(podmanRoot[1:], "home/ann/.local/share/containers/storage", nil)
	f(podmanRoot[1:], "srv/c", map[string]string{"etc/containers/storage.conf": "[storage]\ndriver = \"overlay\"\n# graphroot = \"/no\"\ngraphroot = \"/srv/c\" # here\n"})
	f(podmanRoot[1:], "srv/c", map[string]string{"usr/share/containers/storage.conf": "graphroot='/srv/c'\n"})
}

func TestALayerLeadsNowhereElse(t *testing.T) {
	files := storedTree()
	files["lib/apk/db/secret"] = "P:leaked\nV:1\nA:x\n\n"
	files["var/lib/docker/overlay2/own/diff/lib/apk/db/installed"] = "-> /../../../../../../lib/apk/db/secret"
	// A folder above, a link below to what another container has: hidden, not followed.
	const all = "var/lib/docker/overlay2/"
	files[all+"base/diff/opt"] = "-> ../../stranger"
	files[all+"stranger/node_modules/leaked/package.json"] = strings.Replace(packageJSON, "left-pad", "leaked", 1)
	files[all+"own/diff/opt/node_modules/own/package.json"] = packageJSON
	root := probetest.Tree(t, files)
	for _, row := range containerRows(probetest.Sections(probe.RootHost(root), NewContainers())["container_packages"]) {
		if strings.Contains(row, "leaked") {
			t.Error("a link led out of the layers")
		}
	}
	if err := os.RemoveAll(root); err != nil {
		t.Error(err)
	}
}

func TestRemovedFileListsAreNoPackages(t *testing.T) {
	docker := strings.Repeat("d", 64)
	const base, own = "var/lib/docker/overlay2/base/diff/", "var/lib/docker/overlay2/own/diff/"
	stanza := func(name string) string {
		return "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1-1\n\n"
	}
	files := map[string]string{
		dockerRoot[1:] + "/" + dockerMounts + "/" + docker + "/mount-id": "own",
		"var/lib/docker/overlay2/own/lower":                              "l/BASE",
		"var/lib/docker/overlay2/l/BASE":                                 "-> ../base/diff",
		base + dpkgStatus[1:]:                                            stanza("bash") + stanza("gone"),
		base + dpkgInfo[1:] + "/bash.list":                               "/.\n",
		base + dpkgInfo[1:] + "/gone.list":                               "/.\n",
		own + dpkgStatus[1:]:                                             stanza("bash"),
	}
	want := []string{"dddd dpkg bash 1-1 "}
	f := func(status facts.Status, root string) {
		t.Helper()
		r := probetest.Sections(probe.RootHost(root), NewContainers())["container_packages"]
		if got := containerRows(r); !reflect.DeepEqual(got, want) || r.Status != status {
			t.Errorf("%v (%s), want %v: %q", r.Status, r.Reason, status, got)
		}
	}
	f(facts.StatusPartial, probetest.Tree(t, files)) // a list in a layer below whose package is lost
	root := probetest.Tree(t, files)
	at := filepath.Join(root, own, dpkgInfo, "gone.list")
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod(at, syscall.S_IFCHR, 0); err != nil {
		t.Skip("only root may make devices")
	}
	f(facts.StatusOK, root)
}
