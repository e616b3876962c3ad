package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const containerNumber = "4e5b9bd7c1f54c86b9e1a9e3a3b1d2c3f4a5968778695a4b3c2d1e0f00112233"

func TestPackagesOfContainers(t *testing.T) {
	apk := "P:musl\nV:1.2.5-r0\nA:x86_64\n\n"
	root := probetest.Tree(t, map[string]string{
		"sys/fs/cgroup/cgroup.procs": "1\n",
		"sys/fs/cgroup/system.slice/docker-" + containerNumber + ".scope/cgroup.procs":                                            "77\n78\n",
		"sys/fs/cgroup/machine.slice/libpod-conmon-" + strings.Repeat("b", 64) + ".scope/cgroup.procs":                            "79\n",
		"sys/fs/cgroup/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + strings.Repeat("c", 64) + ".scope/cgroup.procs":      "",
		"sys/fs/cgroup/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + strings.Repeat("c", 64) + ".scope/init/cgroup.procs": "90\n",
		"proc/77/root/lib/apk/db/installed":                   apk,
		"proc/77/root/etc/os-release":                         "ID=alpine\nVERSION_ID=\"3.20\"\n",
		"proc/77/root/app/node_modules/left-pad/package.json": packageJSON,
		"proc/79/root/lib/apk/db/installed":                   apk,
		"proc/90/root/var/lib/dpkg/status":                    "Package: a\nStatus: install ok installed\nArchitecture: all\nMaintainer: M\nVersion: 1\nDescription: cut",
		"lib/apk/db/installed":                                "P:of-the-host\nV:1\n\n",
		"secret":                                              "Package: leaked\nStatus: install ok installed\nArchitecture: all\nMaintainer: M\nVersion: 1\n\n",
	})
	h, p := probe.RootHost(root), NewContainers()
	r := probetest.Sections(h, p)["container_packages"]
	var got []string
	for _, row := range r.Rows {
		c := row.(*facts.ContainerPackageRow)
		got = append(got, fmt.Sprint(c.Container[:4], " ", c.Source, " ", c.Name, " ", c.Version, " ", c.OS, " ", c.Locations))
	}
	want := []string{"4e5b apk musl 1.2.5-r0 alpine 3.20 []", "4e5b npm left-pad 1.3.0 alpine 3.20 [/app/node_modules/left-pad]"}
	if !reflect.DeepEqual(got, want) || r.Status != facts.StatusPartial || !strings.Contains(r.Reason, "container cccccccccccc: dpkg: cut off") {
		t.Errorf("%s %s\n%s", r.Status, r.Reason, strings.Join(got, "\n"))
	}
	// A link out of the container leads to its own files.
	status := filepath.Join(root, "proc/90/root/var/lib/dpkg/status")
	if err := os.Remove(status); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/secret", "../../../../../../secret", filepath.Join(root, "secret")} {
		if err := os.Symlink(target, status); err != nil {
			t.Skip(err)
		}
		for _, row := range probetest.Sections(h, p)["container_packages"].Rows {
			if row.(*facts.ContainerPackageRow).Name == "leaked" {
				t.Errorf("a link to %s led out of the container", target)
			}
		}
		if err := os.Remove(status); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroupsOfVersionOneHaveFilesWithoutADot: they are no groups.
func TestGroupsOfVersionOneHaveFilesWithoutADot(t *testing.T) {
	const pids = "sys/fs/cgroup/pids/"
	r := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		pids + "tasks": "1\n", pids + "release_agent": "\n", pids + "notify_on_release": "0\n", pids + "cgroup.procs": "1\n",
		pids + "docker/tasks": "", pids + "docker/" + containerNumber + "/tasks": "77\n", pids + "docker/" + containerNumber + "/cgroup.procs": "77\n",
		"proc/77/root/lib/apk/db/installed": "P:musl\nV:1.2.5-r0\nA:x86_64\n\n",
	})), NewContainers())["container_packages"]
	if r.Status != facts.StatusOK || len(r.Rows) != 1 {
		t.Errorf("%v with %d rows (%s)", r.Status, len(r.Rows), r.Reason)
	}
}

func TestContainerNumbers(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for name, want := range map[string]string{
		id: id, "docker-" + id + ".scope": id, "cri-containerd-" + id + ".scope": id, "crio-" + id + ".scope": id, "libpod-" + id + ".scope": id,
		"libpod-conmon-" + id + ".scope": "", "crio-conmon-" + id + ".scope": "", "x" + id: "", id[1:]: "", strings.ToUpper(id): "", "system.slice": "",
	} {
		if got := containerID(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
