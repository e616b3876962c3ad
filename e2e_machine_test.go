package atalaya

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/identity"
)

// These tests play what happens to machines: each has a folder of hardware made up and
// a state folder, which are changed and copied under real agents and a real collector.

// machine is made up of files, with the state of its agent beside them.
type machine struct {
	s           *site
	root, state string
	cancel      context.CancelFunc
	ended       chan error
}

// Parts of machines.
const (
	fileUUID    = "sys/class/dmi/id/product_uuid"
	fileSystem  = "sys/class/dmi/id/product_serial"
	fileBoard   = "sys/class/dmi/id/board_serial"
	fileChassis = "sys/class/dmi/id/chassis_serial"
	fileMAC     = "sys/class/net/eth0/address"
	fileDisk    = "sys/block/sda/device/wwid"
	fileMachine = "etc/machine-id"
	fileName    = "etc/hostname"
	fileDpkg    = "var/lib/dpkg/status"
)

// newMachine makes a server whose hardware is like no other's.
func newMachine(s *site, name string) *machine {
	s.t.Helper()
	h := identity.NewHostID().String()[:8]
	m := &machine{s: s, root: filepath.Join(s.dir, h+".root"), state: filepath.Join(s.dir, h)}
	m.set(map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=12\n", fileName: name, fileMachine: strings.Repeat(h, 4),
		fileUUID: "4c4c4544-0051-3610-8052-b4c0" + h, fileSystem: "S" + h, fileBoard: "CN72" + h, fileChassis: "C" + h,
		fileMAC: "3c:ec:ef:" + h[:2] + ":" + h[2:4] + ":" + h[4:6], "sys/class/net/eth0/device/vendor": "0x8086", fileDisk: "naa.5000c500" + h,
		fileDpkg: dpkg("1.0"),
	})
	s.t.Cleanup(func() {
		if m.cancel != nil {
			m.stop()
		}
	})
	return m
}

func dpkg(version string) string {
	return "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\nMaintainer: A\nDescription: tool\n\n"
}

// set writes files of the machine; an empty one goes away.
func (m *machine) set(files map[string]string) {
	m.s.t.Helper()
	for name, text := range files {
		path := filepath.Join(m.root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil && text == "" {
			err = os.RemoveAll(path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text+"\n"), 0o600)
		}
		if err != nil {
			m.s.t.Fatal(err)
		}
	}
}

func (m *machine) enroll(replace bool) string {
	m.s.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.StateDir = m.state
	got, err := agent.Enroll(context.Background(), cfg, agent.EnrollOptions{TokenFile: m.s.token(), Replace: replace, Host: probe.RootHost(m.root)})
	if err != nil {
		m.s.t.Fatal(err)
	}
	return got.ID
}

// start runs the agent until stop.
func (m *machine) start() {
	m.s.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.StateDir, cfg.Interval, cfg.TextfileDir = m.state, time.Second, ""
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.ended = cancel, make(chan error, 1)
	opt := agent.Options{Version: "test", Log: slog.New(slog.DiscardHandler), Host: probe.RootHost(m.root)}
	go func() { m.ended <- agent.Run(ctx, cfg, opt) }()
}

func (m *machine) stop() {
	m.s.t.Helper()
	m.cancel()
	m.cancel = nil
	if err := <-m.ended; err != nil {
		m.s.t.Error(err)
	}
}

// connected starts the agent and waits for its session.
func (m *machine) connected() {
	m.s.t.Helper()
	m.start()
	waitFor(m.s.t, 20*time.Second, "a session", func() error {
		st, err := agent.ReadStatus(m.state)
		if err == nil && st.Uplink.State != "connected" {
			err = errors.New(st.Uplink.LastError)
		}
		return err
	})
}

// delivered waits until all that the agent has gathered is with the collector.
func (m *machine) delivered() {
	m.s.t.Helper()
	m.connected()
	waitFor(m.s.t, 20*time.Second, "the packages", func() error {
		var doc hostDoc
		m.s.answer(&doc, "host", "show", m.id())
		if doc.Host.Packages == nil {
			return errors.New("not yet")
		}
		return nil
	})
}

// refused starts the agent and waits until it says so.
func (m *machine) refused(says string) {
	m.s.t.Helper()
	m.start()
	waitFor(m.s.t, 20*time.Second, "a refusal", func() error {
		st, err := agent.ReadStatus(m.state)
		if err == nil && !strings.Contains(st.Uplink.LastError, says) {
			err = fmt.Errorf("%s: %s", st.Uplink.State, st.Uplink.LastError)
		}
		return err
	})
	m.stop()
}

func (m *machine) id() string { return agent.HostID(m.state) }

// copyState gives the machine the state folder of another, as it is now.
func (m *machine) copyState(from *machine) {
	m.s.t.Helper()
	if err := os.RemoveAll(m.state); err != nil {
		m.s.t.Fatal(err)
	}
	entries, err := os.ReadDir(from.state)
	err = errors.Join(err, os.MkdirAll(m.state, 0o700))
	for _, e := range entries {
		if !e.Type().IsRegular() { // the socket of an agent that runs
			continue
		}
		b, readErr := os.ReadFile(filepath.Join(from.state, e.Name()))
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(m.state, e.Name()), b, 0o600))
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
}

func (m *machine) wipe() {
	m.s.t.Helper()
	if err := os.RemoveAll(m.state); err != nil {
		m.s.t.Fatal(err)
	}
}

// take gives the machine a part of another.
func (m *machine) take(from *machine, name string) {
	m.s.t.Helper()
	b, err := os.ReadFile(filepath.Join(from.root, name))
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.set(map[string]string{name: strings.TrimSpace(string(b))})
}

// natTo relays packets to a collector from another address, as a NAT does.
func natTo(t *testing.T, collector string) string {
	t.Helper()
	inside, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(collector)))
	if err != nil {
		inside.Close()
		t.Skipf("no second loopback address here: %v", err)
	}
	client := make(chan net.Addr, 1)
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1<<16)
		for {
			n, from, err := inside.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case client <- from:
			default:
			}
			outside.Write(buf[:n]) // lost packets come again
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1<<16)
		var to net.Addr
		for {
			n, err := outside.Read(buf)
			if err != nil && errors.Is(err, net.ErrClosed) {
				return
			}
			if to == nil {
				to = <-client
			}
			inside.WriteTo(buf[:n], to)
		}
	}()
	t.Cleanup(func() {
		inside.Close()
		outside.Close()
		<-done
		<-done
	})
	return inside.LocalAddr().String()
}
