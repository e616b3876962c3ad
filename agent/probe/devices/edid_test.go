package devices

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// display builds an EDID with descriptors of 18 bytes each, and its checksum.
func display(maker string, descriptors ...[]byte) []byte {
	b := make([]byte, edidBlock)
	copy(b, edidHeader)
	var id uint16
	for _, c := range maker {
		id = id<<5 | uint16(c-'@')
	}
	binary.BigEndian.PutUint16(b[8:], id)
	binary.LittleEndian.PutUint16(b[10:], 0x1234)
	b[16], b[17], b[18], b[19], b[20], b[21], b[22] = 35, 17, 1, 3, 0x80, 60, 34
	for i, d := range descriptors {
		copy(b[54+18*i:], d)
	}
	return summed(b)
}

// summed sets the checksum, the last byte of a block.
func summed(b []byte) []byte {
	b[len(b)-1] = 0
	var sum byte
	for _, c := range b {
		sum += c
	}
	b[len(b)-1] = -sum
	return b
}

// says is a descriptor that holds a text.
func says(kind byte, text string) []byte {
	d := append([]byte{0, 0, 0, kind, 0}, text...)
	if len(d) < 18 {
		d = append(d, '\n')
	}
	for len(d) < 18 {
		d = append(d, ' ')
	}
	return d
}

// fullHD is the timing of 1920 x 1080 at 60 Hz (CTA-861, format 16) on 597 x 336 mm.
var fullHD = []byte{0x02, 0x3a, 0x80, 0x18, 0x71, 0x38, 0x2d, 0x40, 0x58, 0x2c, 0x45, 0x00, 0x55, 0x50, 0x21, 0x00, 0x00, 0x1e}

func TestDisplayTellsWhatItIs(t *testing.T) {
	b := display("DEL", fullHD, says(0xff, "ABC123"), says(0xfc, "EX 27"), says(0xfd, "?"))
	binary.LittleEndian.PutUint32(b[12:], 0xb051)
	got, err := decodeEDID(summed(b))
	if err != nil {
		t.Fatal(err)
	}
	want := &facts.MonitorRow{
		Manufacturer: "DEL", Name: "EX 27", ProductCode: 0x1234, Serial: "ABC123", SerialID: "0000b051", SerialNumber: 0xb051,
		Year: 2007, Week: 35, WidthPx: 1920, HeightPx: 1080, RefreshHz: 60, WidthCm: 60, HeightCm: 34, WidthMm: 597, HeightMm: 336,
		DiagonalInches: 27, Digital: true, EDIDVersion: "1.3",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDisplayVariants(t *testing.T) {
	f := func(name string, change func(b []byte), holds func(r *facts.MonitorRow) bool) {
		t.Helper()
		b := display("DEL", fullHD, says(0xfe, "PANEL"), says(0xfe, "X1"))
		change(b)
		r, err := decodeEDID(summed(b))
		if err != nil || !holds(r) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	f("panels have a text only", func([]byte) {}, func(r *facts.MonitorRow) bool { return r.Name == "PANEL X1" })
	f("no week", func(b []byte) { b[16] = 0 }, func(r *facts.MonitorRow) bool { return r.Week == 0 && r.Year == 2007 && !r.ModelYear })
	f("model year", func(b []byte) { b[16] = 255 }, func(r *facts.MonitorRow) bool { return r.ModelYear && r.Week == 0 })
	f("week out of range", func(b []byte) { b[16] = 99 }, func(r *facts.MonitorRow) bool { return r.Week == 0 })
	f("projector", func(b []byte) { b[21] = 0 }, func(r *facts.MonitorRow) bool {
		return r.WidthCm == 0 && r.HeightCm == 0 && r.WidthMm == 0 && r.DiagonalInches == 0 && r.WidthPx == 1920
	})
	f("aspect for size", func(b []byte) { b[54+12], b[54+13], b[54+14] = 16, 9, 0 }, func(r *facts.MonitorRow) bool {
		return r.WidthMm == 0 && r.DiagonalInches == 27.2
	})
	f("interlaced", func(b []byte) { copy(b[54:], []byte{0x01, 0x1d, 0x80, 0x18, 0x71, 0x1c, 0x16, 0x20}); b[71] = 0x9e }, func(r *facts.MonitorRow) bool {
		return r.HeightPx == 1080 && r.RefreshHz == 60
	})
	f("analog", func(b []byte) { b[20] = 0x08 }, func(r *facts.MonitorRow) bool { return !r.Digital && r.Connection == "analog" })
	f("interface", func(b []byte) { b[19], b[20] = 4, 0x85 }, func(r *facts.MonitorRow) bool { return r.Connection == "DisplayPort" })
	f("no letters", func(b []byte) { b[8], b[9] = 0, 0 }, func(r *facts.MonitorRow) bool { return r.Manufacturer == "" })
	f("extension is not there", func(b []byte) { b[126] = 1 }, func(r *facts.MonitorRow) bool { return !r.Damaged })
}

func TestLabelsOfMakersWhoSplitTheirSerialNumbers(t *testing.T) {
	f := func(maker, serial string, number uint32, want string) {
		t.Helper()
		b := display(maker, says(0xff, serial))
		binary.LittleEndian.PutUint32(b[12:], number)
		r, err := decodeEDID(summed(b))
		if err != nil || r.SerialLabel != want {
			t.Errorf("%s %s: %q, %v; want %q", maker, serial, r.SerialLabel, err, want)
		}
	}
	f("ACR", "ABCDEFGH1234", 0x0123abcd, "ABCDEFGH0123abcd1234")
	f("ACR", "ABC", 1, "")
	f("SAM", "XYZ001", 0x48344d46, "H4MFXYZ001")
	f("SAM", "XYZ001", 0x01020304, "")
	f("BNQ", "X1Y2", 0x5445, "ETX1Y2")
	f("BNQ", "000000", 0x5445, "")
	f("DEL", "X1Y2", 0x5445, "")
}

func TestExtensionAddsTimingAndHDR(t *testing.T) {
	ext := make([]byte, edidBlock)
	copy(ext, []byte{2, 3, 8, 0, 0xe3, 6, 0x0d, 0})
	copy(ext[8:], fullHD)
	b := display("DEL")
	b[126] = 1
	r, err := decodeEDID(append(summed(b), summed(ext)...))
	if err != nil || !r.HDR || r.WidthPx != 1920 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNoDisplay(t *testing.T) {
	f := func(b []byte) {
		t.Helper()
		if r, err := decodeEDID(b); r != nil || err == nil {
			t.Errorf("%d bytes give %+v, %v", len(b), r, err)
		}
	}
	f(nil)
	f(make([]byte, edidBlock))
	for _, cut := range probetest.Cuts(display("DEL", fullHD)) {
		f(cut)
	}
	b := display("DEL", fullHD)
	b[60]++
	if r, err := decodeEDID(b); err != nil || !r.Damaged {
		t.Errorf("a wrong checksum gives %+v, %v", r, err)
	}
}

func FuzzEDID(f *testing.F) {
	b := display("ACR", fullHD, says(0xff, "ABCDEFGH1234"), says(0xfc, "EX 27"))
	b[126] = 1
	f.Add(b)
	f.Add(append(b, summed(append([]byte{2, 3, 8, 0, 0xe3, 6, 0x0d, 0}, bytes.Repeat([]byte{0xff}, 120)...))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeEDID(b)
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if r != nil && (strings.ContainsFunc(r.Name+r.Serial, func(c rune) bool { return c < ' ' || c > '~' }) || r.RefreshHz < 0) {
			t.Errorf("%+v", r)
		}
	})
}

func TestParseShowsWhatTheHeaderSays(t *testing.T) {
	b := make([]byte, 128)
	copy(b, "\x00\xff\xff\xff\xff\xff\xff\x00\x10\xac\x01\x00\x07\x00\x00\x00\x1c\x1e\x01\x04")
	for _, c := range b[:127] {
		b[127] -= c
	}
	got, err := parseEDID(b)
	if err != nil || len(got) != 1 || got[0].Made != "28/2020" || got[0].SerialNumber != 7 || got[0].Manufacturer != "DEL" {
		t.Errorf("%+v, %v", got, err)
	}
}
