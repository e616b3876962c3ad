package services

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// answer encodes what the bus sends.
func answer(kind byte, serial uint32, errorName string, body []byte) []byte {
	head := binary.LittleEndian.AppendUint32([]byte{'l', kind, 1, 1}, uint32(len(body)))
	head = append(binary.LittleEndian.AppendUint32(head, 99), 0, 0, 0, 0)
	head = append(pad(head, 8), fieldReplySerial, 1, 'u', 0)
	head = binary.LittleEndian.AppendUint32(head, serial)
	if errorName != "" {
		head = appendString(append(pad(head, 8), fieldErrorName, 1, 's', 0), errorName)
	}
	head = append(pad(head, 8), fieldSignature, 1, 'g', 0, 1, 's', 0)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(head)-16))
	return append(pad(head, 8), body...)
}

// unitList encodes a(ssssssouso).
func unitList(units ...[4]string) []byte {
	body := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	for _, u := range units {
		body = pad(body, 8)
		for _, s := range []string{u[0], "Description of " + u[0], u[1], u[2], u[3], "", "/object"} {
			body = appendString(body, s)
		}
		body = append(pad(body, 4), 0, 0, 0, 0)
		body = appendString(appendString(body, ""), "/")
	}
	binary.LittleEndian.PutUint32(body, uint32(len(body)-8))
	return body
}

var someUnits = unitList([4]string{"a.service", "loaded", "failed", "failed"}, [4]string{"bc.timer", "loaded", "active", "waiting"})

// bus answers one connection with these parts, one after each thing that it is told.
func bus(t *testing.T, parts ...[]byte) net.Conn {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		buf := make([]byte, 4096)
		for _, p := range parts {
			if n, err := server.Read(buf); err != nil || n == 0 {
				return
			}
			if _, err := server.Write(p); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	return client
}

func TestTheBusIsAskedForUnits(t *testing.T) {
	ok := []byte("OK 0123\r\n")
	hello := answer(methodReturn, 1, "", appendString(nil, ":1.5"))
	signal := answer(4, 0, "", nil)
	units := answer(methodReturn, 2, "", someUnits)
	for name, c := range map[string]struct {
		parts [][]byte
		err   string
	}{
		"answered":   {[][]byte{append(append(append(ok, hello...), signal...), units...)}, ""},
		"old":        {[][]byte{append(append(ok, hello...), answer(methodError, 2, "org.freedesktop.DBus.Error.UnknownMethod", nil)...), answer(methodReturn, 3, "", someUnits)}, ""},
		"refused":    {[][]byte{[]byte("REJECTED EXTERNAL\r\n")}, errRefused.Error()},
		"closed":     {[][]byte{ok}, errRefused.Error()},
		"no_systemd": {[][]byte{append(append(ok, hello...), answer(methodError, 2, "org.freedesktop.DBus.Error.ServiceUnknown", nil)...)}, "ServiceUnknown"},
		"garbage":    {[][]byte{append(ok, "this is no message, this is none"...)}, "not understood"},
		"huge":       {[][]byte{append(ok, "l\x02\x00\x01\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x00"...)}, "larger than the limit"},
		"damaged":    {[][]byte{append(ok, answer(methodReturn, 2, "", someUnits[:len(someUnits)-5])...)}, "not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newSession(bus(t, c.parts...), 1000).units("*" + service)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || len(got) != 2 || got["a.service"] != (loaded{"loaded", "failed", "failed"}) || got["bc.timer"].active != "active" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestStatesOfSystemd(t *testing.T) {
	s := states{loaded: map[string]loaded{
		"web.service": {"loaded", "active", "running"}, "once.service": {"loaded", "active", "exited"}, "bad.service": {"loaded", "failed", "failed"},
		"slow.service": {"loaded", "activating", "auto-restart"}, "idle.service": {"loaded", "inactive", "dead"},
		"getty@tty1.service": {"loaded", "active", "running"}, "gone@x.service": {"loaded", "inactive", "dead"}, "odd.service": {"not-found", "failed", "failed"},
	}}
	rows := map[string]*facts.ServiceRow{"other": {Enabled: "alias"}, "getty@": {Exec: "/sbin/agetty"}, "never": {Enabled: "disabled"}}
	for _, name := range []string{"web", "once", "bad", "slow", "idle"} {
		rows[name] = &facts.ServiceRow{Name: name}
	}
	s.addTo(rows)
	want := map[string]string{"web": "running", "once": "exited", "bad": "failed", "slow": "starting", "idle": "stopped", "getty@tty1": "running",
		"odd": "failed", "other": "", "getty@": "", "never": "stopped"}
	for name, state := range want {
		if rows[name] == nil || rows[name].State != state {
			t.Errorf("%s: %+v, want %q", name, rows[name], state)
		}
	}
	if len(rows) != len(want) || rows["getty@tty1"].Exec != "/sbin/agetty" {
		t.Errorf("%d rows, getty %+v", len(rows), rows["getty@tty1"])
	}
	if on := s.active("web.service"); on == nil || !*on {
		t.Error("a running unit is not active")
	}
	if s = (states{refused: errors.Join(errRefused)}); s.active("x") != nil || !strings.Contains(s.lack().Error(), "stopped: the message bus refuses") {
		t.Errorf("not known, %q", s.lack())
	}
}

// TestLiveBus asks the machine that runs the test.
func TestLiveBus(t *testing.T) {
	if b, err := os.ReadFile("/proc/1/comm"); err != nil || string(b) != "systemd\n" {
		t.Skip("systemd does not run here; make test-service asks one")
	}
	units, err := loadedUnits(context.Background())
	if err != nil || len(units) == 0 {
		t.Errorf("%d units, %v", len(units), err)
	}
}

func TestUnitsAsMetrics(t *testing.T) {
	ok := append([]byte("OK 0123\r\n"), answer(methodReturn, 1, "", appendString(nil, ":1.5"))...)
	list := [][4]string{{"a.service", "loaded", "active", "running"}, {"b.mount", "loaded", "active", "mounted"}, {"c.service", "not-found", "inactive", "dead"}}
	for i := range 2 * maxFailed {
		list = append(list, [4]string{fmt.Sprintf("f%02d.service", i), "loaded", "failed", "failed"})
	}
	units := answer(methodReturn, 2, "", unitList(list...))
	degraded := answer(methodReturn, 3, "", appendString([]byte{1, 's', 0}, "degraded"))
	read := func(group *metric.Group, report func(*probe.Gathering, map[string]loaded), parts ...[]byte) (string, error) {
		p := probe.Gather(probe.Info{Name: "systemd"}, group, func(g *probe.Gathering) error {
			return askUnits(g, newSession(bus(t, parts...), 0), report)
		})
		return probetest.Samples(t, func(r *probe.Report, _ []byte) error { return p.Collect(t.Context(), probe.RootHost(t.TempDir()), r) }, "")
	}
	got, err := read(&metric.Systemd, reportFailed, append(ok, units...), degraded)
	if want := "systemd_units activating 0\nsystemd_units active 2\nsystemd_units deactivating 0\nsystemd_units failed 40\nsystemd_units inactive 1\n" +
		"systemd_unit_state f00.service failed  1\n"; err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("%v\n%s", err, got)
	}
	if n := strings.Count(got, "unit_state"); n != maxFailed || !strings.HasSuffix(got, "systemd_system_running 0\n") {
		t.Errorf("%d failed units are named:\n%s", n, got)
	}
	got, err = read(&metric.SystemdUnits, reportStates, append(ok, units...), degraded)
	if n := strings.Count(got, "unit_state"); err != nil || n != 5*42 || !strings.Contains(got, "unit_state a.service active  1\n") || strings.Contains(got, "c.service") {
		t.Errorf("%d states, %v\n%s", n, err, got)
	}
	if got, err = read(&metric.Systemd, reportFailed, []byte("REJECTED\r\n")); !errors.Is(err, errRefused) || got != "" {
		t.Errorf("refused: %v\n%s", err, got)
	}
}

func FuzzBus(f *testing.F) {
	f.Add(answer(methodReturn, 2, "", someUnits))
	f.Add(answer(methodError, 2, "x.y", nil))
	f.Add(systemStateCall().append(nil, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMessage(data); err == nil {
			parseUnits(m)
			parseText(m)
		}
		parseUnits(message{body: data, order: binary.BigEndian})
		parseText(message{body: data, order: binary.BigEndian})
	})
}

// BenchmarkUnchanged looks again at the units of this machine.
func BenchmarkUnchanged(b *testing.B) {
	p := New()
	h := probe.LiveHost()
	probetest.Sections(h, p)
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(h, p)
	}
}

// BenchmarkFirst reads them all.
func BenchmarkFirst(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(probe.LiveHost(), New())
	}
}
