package probe_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"atalaya/agent/probe"
)

func TestServiceAndContainer(t *testing.T) {
	f := func(in, service, container string) {
		t.Helper()
		if s, c := probe.ServiceAndContainer(in); s != service || c != container {
			t.Errorf("%q: got %q of %q, want %q of %q", in, s, c, service, container)
		}
	}
	id := strings.Repeat("0123456789abcdef", 4)
	f("0::/system.slice/ssh.service\n", "ssh", "")
	f("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", "web", "")
	f("0::/user.slice/user-1000.slice/session-3.scope\n", "", "")
	f("0::/system.slice/getty.slice/getty@tty1.service/sub\n", "getty@tty1", "")
	f("3:cpu:/a.service\n1:name=systemd:/system.slice/b.service\n", "b", "")

	f("0::/system.slice/docker-"+id+".scope\n", "", id)
	f("0::/system.slice/docker-0123.scope\n", "", "")
	f("0::/system.slice/docker-f"+id+".scope\n", "", "")
	f("0::/docker/"+id+"\n", "", id)
	f("4:memory:/docker/"+id+"\n", "", id)
	f("4:memory:/docker/"+id+"\n1:name=systemd:/docker/"+id+"\n", "", id)
	f("1:name=systemd:/system.slice/containerd.service\n4:memory:/docker/"+id+"\n", "", id)
	f("0::/system.slice/containerd.service/kubepods/"+id+"\n", "", id)
	f("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-"+id+".scope\n", "", id)
	f("0::/kubepods/besteffort/pod12/"+id+"/init\n", "", id)
	f("0::/machine.slice/libpod-"+id+".scope/container\n", "", id)
	f("0::/machine.slice/libpod-conmon-"+id+".scope\n", "", "") // the monitor is the host's
	f("0::/lxc.payload.web1/init.scope\n", "", "web1")
	f("0::/lxc.payload.web1/system.slice/nginx.service\n", "nginx", "web1")
	f("1:name=systemd:/lxc/web1\n", "", "web1")
	f("0::/machine.slice/machine-build\\x2dbox.scope/payload\n", "", "build-box")
	f("0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope\n", "", "")
	f("", "", "")
	f("::", "", "")
	f("nonsense", "", "")
}

func FuzzServiceAndContainer(f *testing.F) {
	f.Add("0::/system.slice/nginx.service/sub\n")
	f.Add("0::/machine.slice/machine-a\\x2d\\x5c\\x\n1:name=systemd:/lxc/\n")
	f.Add("4:memory:/docker/" + strings.Repeat("0123456789abcdef", 4) + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		service, container := probe.ServiceAndContainer(s)
		if strings.ContainsAny(service, "/\n") {
			t.Errorf("%q: %q of %q", s, service, container)
		}
		if utf8.ValidString(s) && !(utf8.ValidString(service) && utf8.ValidString(container)) {
			t.Errorf("%q: %q of %q", s, service, container)
		}
	})
}
