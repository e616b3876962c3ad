package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/shared/facts"
)

// identity is a page of IDENTIFY DEVICE, made after ACS-4.
func identity(rotation uint16) []byte {
	b := make([]byte, ataPage)
	text := func(at int, s string, n int) {
		s += string(bytes.Repeat([]byte(" "), n-len(s)))
		for i := 0; i < n; i += 2 {
			b[at+i], b[at+i+1] = s[i+1], s[i]
		}
	}
	text(20, "ZEXAMPLE1", 20)
	text(46, "SC60", 8)
	text(54, "EXAMPLE HDD 4TB", 40)
	for word, v := range map[int]uint16{82: 1, 83: 1 << 14, 84: 1<<14 | 1<<5, 85: 1, 87: 1 << 14, 217: rotation} {
		binary.LittleEndian.PutUint16(b[2*word:], v)
	}
	return b
}

type attribute struct {
	id, value, threshold byte
	raw                  uint64
	pre                  bool
}

// smartPages are those of SMART READ DATA and SMART READ THRESHOLDS, after SFF-8035i.
func smartPages(attributes ...attribute) (data, limits []byte) {
	data, limits = make([]byte, ataPage), make([]byte, ataPage)
	for i, a := range attributes {
		e := data[2+12*i:]
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], a.raw)
		e[0], e[3], e[4] = a.id, a.value, a.value
		if a.pre {
			e[1] = 1
		}
		copy(e[5:11], raw[:6])
		limits[2+12*i], limits[3+12*i] = a.id, a.threshold
	}
	var sum byte
	for _, c := range data {
		sum += c
	}
	data[511] = -sum
	return data, limits
}

func ataAnswer(said byte, identity, data, limits, statistics []byte) []byte {
	return append(append(append(append([]byte{answerATA, said}, identity...), data...), limits...), statistics...)
}

func n[T any](v T) *T { return &v }

func TestATAHealth(t *testing.T) {
	none := make([]byte, ataPage)
	f := func(name string, answer []byte, want *facts.DiskHealthRow) {
		t.Helper()
		got, err := readHealth("sda", answer)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want.Device, want.Protocol, want.Model, want.Serial, want.Firmware = "sda", "ata", "EXAMPLE HDD 4TB", "ZEXAMPLE1", "SC60"
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	data, limits := smartPages(attribute{5, 100, 10, 0, true}, attribute{9, 80, 0, 17_523 | 5<<32, false}, attribute{194, 30, 0, 30, false},
		attribute{197, 100, 0, 0, false}, attribute{199, 200, 0, 3, false})
	f("a good one", ataAnswer(saidPassed, identity(7200), data, limits, none), &facts.DiskHealthRow{Verdict: "passed", RPM: 7200,
		Reallocated: n(uint64(0)), PowerOnHours: n(uint64(17_000)), Pending: n(uint64(0)), CRCErrors: n(uint64(3))})
	data, limits = smartPages(attribute{5, 9, 10, 3000, true}, attribute{9, 5, 10, 80_000, false})
	f("one below its limits", ataAnswer(saidPassed, identity(5400), data, limits, none), &facts.DiskHealthRow{Verdict: "failing", RPM: 5400,
		Reasons: "attribute 5", Warnings: "attribute 9", Reallocated: n(uint64(3000)), PowerOnHours: n(uint64(80_000))})
	data, limits = smartPages()
	f("one that says so", ataAnswer(saidFailing, identity(0), data, limits, none), &facts.DiskHealthRow{Verdict: "failing", Reasons: "disk expects to fail"})
	statistics := make([]byte, ataPage)
	statistics[2], statistics[8], statistics[15] = 7, 12, 0xC0
	f("an SSD", ataAnswer(saidPassed, identity(1), data, limits, statistics), &facts.DiskHealthRow{Verdict: "passed", UsedPercent: n(12)})
	f("one that says nothing", ataAnswer(saidNothing, identity(1), data, limits, none), &facts.DiskHealthRow{Verdict: "unknown"})
	off := identity(1)
	binary.LittleEndian.PutUint16(off[2*85:], 0)
	f("one with SMART off", ataAnswer(saidNothing, off, none, none, none), &facts.DiskHealthRow{Verdict: "unknown", Reasons: "SMART is switched off"})
	binary.LittleEndian.PutUint16(off[2*82:], 0)
	f("one without SMART", ataAnswer(saidNothing, off, none, none, none), &facts.DiskHealthRow{Verdict: "unknown", Reasons: "disk does not watch itself"})
	if row, err := readHealth("sda", []byte{answerAsleep}); row != nil || err != nil {
		t.Errorf("asleep: %+v, %v", row, err)
	}
	data[100]++
	if _, err := readHealth("sda", ataAnswer(saidPassed, identity(1), data, limits, none)); err == nil {
		t.Error("a wrong checksum is taken")
	}
	if _, err := readHealth("sda", []byte("AB")); err == nil {
		t.Error("a short answer is taken")
	}
}

func TestNVMeHealth(t *testing.T) {
	answer := make([]byte, 1+2*ataPage)
	answer[0] = answerNVMe
	copy(answer[1+4:], "SEXAMPLE0           EXAMPLE NVME 1TB                        2B2QEXM7")
	log := answer[1+ataPage:]
	log[0], log[1], log[3], log[4], log[5] = 1<<1, 0x37, 100, 10, 3 // warm at the moment
	binary.LittleEndian.PutUint64(log[128:], 4321)
	binary.LittleEndian.PutUint64(log[160:], 2)
	want := &facts.DiskHealthRow{Device: "nvme0n1", Protocol: "nvme", Verdict: "passed", Model: "EXAMPLE NVME 1TB", Serial: "SEXAMPLE0", Firmware: "2B2QEXM7",
		UsedPercent: n(3), SparePercent: n(100), MediaErrors: n(uint64(2)), PowerOnHours: n(uint64(4000))}
	got, err := readHealth("nvme0n1", answer)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, d)
	}
	log[0] = 1<<0 | 1<<3
	want.Verdict, want.Reasons = "failing", "spare blocks below threshold,read only"
	if got, _ = readHealth("nvme0n1", answer); cmp.Diff(want, got) != "" {
		t.Errorf("-want +got:\n%s", cmp.Diff(want, got))
	}
}

func TestATAResult(t *testing.T) {
	descriptor := make([]byte, 32)
	descriptor[0], descriptor[8], descriptor[8+5], descriptor[8+9], descriptor[8+11], descriptor[8+13] = 0x72, 0x09, 0xFF, 0x4F, 0xC2, 0x50
	fixed := make([]byte, 32)
	fixed[0], fixed[4], fixed[6], fixed[10], fixed[11], fixed[13] = 0x70, 0x50, 0x80, 0xF4, 0x2C, 0x1D
	failed := bytes.Clone(descriptor)
	failed[8+13] = 0x51
	f := func(name string, host uint16, status byte, registers bool, sense []byte, want ataRegisters, ok bool) {
		t.Helper()
		got, err := ataResult(host, status, registers, sense)
		if got != want || (err == nil) != ok {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	f("descriptor", 0, 2, true, descriptor, ataRegisters{0xFF, 0x4F, 0xC2}, true)
	f("fixed", 0, 2, true, fixed, ataRegisters{0x80, 0xF4, 0x2C}, true)
	f("no registers asked", 0, 0, false, nil, ataRegisters{}, true)
	f("none told", 0, 0, true, make([]byte, 32), ataRegisters{}, false)
	f("an error", 0, 2, false, failed, ataRegisters{}, false)
	f("no such command", 0, 2, false, []byte{0x70, 0, 5}, ataRegisters{}, false)
	f("no disk", 1, 0, false, nil, ataRegisters{}, false)
	if _, err := ataResult(0, 2, false, failed); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a refused command: %v", err)
	}
}

func FuzzHealth(f *testing.F) {
	data, limits := smartPages(attribute{5, 9, 10, 3000, true})
	f.Add(ataAnswer(saidPassed, identity(1), data, limits, data))
	f.Add(append([]byte{answerNVMe}, make([]byte, 2*ataPage)...))
	f.Add([]byte{answerAsleep})
	f.Fuzz(func(t *testing.T, b []byte) {
		if row, err := readHealth("x", b); err == nil && row != nil && row.Verdict == "" {
			t.Errorf("%q: no verdict", b)
		}
		_, _ = ataResult(0, 2, true, b)
		_, _ = ParseATAIdentity(b)
		_, _ = ParseNVMeHealth(b)
	})
}
