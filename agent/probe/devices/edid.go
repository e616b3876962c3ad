package devices

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"atalaya/shared/facts"
)

// The decoder follows the VESA Enhanced EDID Standard, release A revision 2 (EDID 1.4),
// and for extension blocks CTA-861; section numbers are those of E-EDID.

// edidBlock is the size of the base block and of each extension.
const edidBlock = 128

var (
	edidHeader = []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}

	errNotEDID = errors.New("no EDID: its header is missing")
	errEDIDCut = errors.New("EDID is cut off")
)

// decodeEDID reads what a display tells about itself. Displays with wrong checksums
// are common, and so are copies without the extensions: both say what they are.
func decodeEDID(b []byte) (*facts.MonitorRow, error) {
	if len(b) < edidBlock {
		return nil, errEDIDCut
	}
	if !bytes.Equal(b[:8], edidHeader) {
		return nil, errNotEDID
	}
	row := &facts.MonitorRow{
		Manufacturer: pnpID(b[8:10]),
		ProductCode:  int(binary.LittleEndian.Uint16(b[10:])),
		EDIDVersion:  fmt.Sprintf("%d.%d", b[18], b[19]),
		Digital:      b[20]&0x80 != 0,
		Damaged:      !sumsToZero(b[:edidBlock]),
	}
	if n := binary.LittleEndian.Uint32(b[12:]); n != 0 {
		row.SerialNumber, row.SerialID = int64(n), fmt.Sprintf("%08x", n)
	}
	manufactured(row, b[16], b[17])
	row.Connection = videoInterface(b)
	row.WidthCm, row.HeightCm = int(b[21]), int(b[22])
	if row.WidthCm == 0 || row.HeightCm == 0 { // a projector, or an aspect ratio (3.6.2)
		row.WidthCm, row.HeightCm = 0, 0
	}
	var text []string // descriptors that only say something
	for at := 54; at+18 <= 126; at += 18 {
		text = descriptor(row, b[at:at+18], text)
	}
	if row.Name == "" { // panels of laptops have their name there
		row.Name = strings.Join(text, " ")
	}
	row.SerialLabel = labelSerial(row)
	extensions(row, b)
	return row, nil
}

func sumsToZero(b []byte) bool {
	var sum byte
	for _, c := range b {
		sum += c
	}
	return sum == 0
}

// pnpID unpacks three letters of five bits each (3.4.1); "" when they are none.
func pnpID(b []byte) string {
	v := binary.BigEndian.Uint16(b)
	id := []byte{byte(v>>10&31) + '@', byte(v>>5&31) + '@', byte(v&31) + '@'}
	for _, c := range id {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	return string(id)
}

// manufactured reads week and year (3.4.4): week 0 is not told, week 255 says that the
// year is that of the model.
func manufactured(row *facts.MonitorRow, week, year byte) {
	row.Year = int(year) + 1990
	switch {
	case week == 0xff:
		row.ModelYear = true
	case week <= 54:
		row.Week = int(week)
	}
}

// interfaces are the digital interfaces of E-EDID 1.4 (3.6.1), from value 1 on.
var interfaces = [...]string{"DVI", "HDMI-a", "HDMI-b", "MDDI", "DisplayPort"}

func videoInterface(b []byte) string {
	if b[20]&0x80 == 0 {
		return "analog"
	}
	if n := int(b[20] & 0x0f); b[18] == 1 && b[19] >= 4 && n >= 1 && n <= len(interfaces) {
		return interfaces[n-1]
	}
	return ""
}

// descriptor reads one of the four 18 byte descriptors (3.10): a timing, the first of
// which is the preferred one, or a text. It returns the texts without a meaning of
// their own.
func descriptor(row *facts.MonitorRow, d []byte, text []string) []string {
	if d[0] != 0 || d[1] != 0 {
		if row.WidthPx == 0 {
			timing(row, d)
		}
		return text
	}
	if d[2] != 0 {
		return text
	}
	switch s := descriptorText(d[5:]); d[3] {
	case 0xff:
		if strings.Trim(s, "0") != "" { // zeros where there is none
			row.Serial = join(row.Serial, s)
		}
	case 0xfc:
		row.Name = join(row.Name, s)
	case 0xfe:
		if s != "" {
			text = append(text, s)
		}
	}
	return text
}

// join puts the parts of a name that needs more than one descriptor together.
func join(a, b string) string { return strings.TrimSpace(a + " " + b) }

// descriptorText ends with a newline and is padded with blanks (3.10.3).
func descriptorText(b []byte) string {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(bytes.ToValidUTF8(b, nil)))
	return strings.TrimSpace(s)
}

// timing reads a detailed timing (3.10.2): the resolution, its rate, and the size of
// the image, which is more exact than the centimetres of the base block.
func timing(row *facts.MonitorRow, d []byte) {
	clock := float64(binary.LittleEndian.Uint16(d)) * 10_000
	width, hblank := int(d[2])|int(d[4]&0xf0)<<4, int(d[3])|int(d[4]&0x0f)<<8
	height, vblank := int(d[5])|int(d[7]&0xf0)<<4, int(d[6])|int(d[7]&0x0f)<<8
	interlaced := d[17]&0x80 != 0
	lines := float64(height + vblank)
	if interlaced { // the fields of a frame share a line
		height *= 2
		lines += 0.5
	}
	if width == 0 || height == 0 {
		return
	}
	row.WidthPx, row.HeightPx = width, height
	row.RefreshHz = math.Round(clock/(float64(width+hblank)*lines)*100) / 100
	row.WidthMm, row.HeightMm = int(d[12])|int(d[14]&0xf0)<<4, int(d[13])|int(d[14]&0x0f)<<8
	// Some makers write the aspect ratio there: 16 x 9 mm.
	if row.WidthMm < 30 || row.HeightMm < 20 || row.WidthCm == 0 {
		row.WidthMm, row.HeightMm = 0, 0
	}
	if row.WidthMm > 0 && row.HeightMm > 0 {
		row.DiagonalInches = inches(float64(row.WidthMm), float64(row.HeightMm))
	} else if row.WidthCm > 0 {
		row.DiagonalInches = inches(float64(row.WidthCm)*10, float64(row.HeightCm)*10)
	}
}

func inches(width, height float64) float64 {
	return math.Round(math.Hypot(width, height)/25.4*10) / 10
}

// extensions takes what is needed of the CTA-861 blocks (tag 2) that follow: the
// timing of displays whose base block has none, and HDR.
func extensions(row *facts.MonitorRow, b []byte) {
	for i := 1; i <= int(b[126]) && len(b) >= (i+1)*edidBlock; i++ {
		block := b[i*edidBlock : (i+1)*edidBlock]
		const cta = 2
		if sumsToZero(block) && block[0] == cta {
			extendedCTA(row, block)
		}
	}
}

// extendedCTA reads a CTA-861 extension: data blocks from byte 4 up to the offset in
// byte 2, then detailed timings.
func extendedCTA(row *facts.MonitorRow, block []byte) {
	timings := int(block[2])
	if timings < 4 || timings > edidBlock-1 {
		return
	}
	for at := 4; at < timings; {
		kind, size := block[at]>>5, int(block[at]&0x1f)
		if at+1+size > timings {
			return
		}
		const extended, hdrStatic = 7, 6 // CTA-861-G tables 54 and 56
		if kind == extended && size > 1 && block[at+1] == hdrStatic {
			row.HDR = block[at+2]&0x0e != 0 // electro-optical transfer functions beside SDR
		}
		at += 1 + size
	}
	if row.WidthPx == 0 && timings+18 < edidBlock && block[timings] != 0 {
		timing(row, block[timings:timings+18])
	}
}

// labelSerial is the serial number as it stands on the case, for makers who split it
// between the serial number and its descriptor: Acer puts the former as hexadecimal
// digits before the last four characters of the latter, Samsung and BenQ write the
// first characters of the label as the number, in different byte order.
func labelSerial(row *facts.MonitorRow) string {
	if row.Serial == "" || row.SerialID == "" {
		return ""
	}
	var number [4]byte
	switch row.Manufacturer {
	case "ACR":
		if len(row.Serial) == 12 {
			return row.Serial[:8] + row.SerialID + row.Serial[8:]
		}
	case "SAM":
		binary.BigEndian.PutUint32(number[:], uint32(row.SerialNumber))
		return label(number[:], row.Serial)
	case "BNQ":
		binary.LittleEndian.PutUint32(number[:], uint32(row.SerialNumber))
		return label(bytes.TrimRight(number[:], "\x00"), row.Serial)
	}
	return ""
}

// label puts characters before the rest of a label; "" if they are no letters or digits.
func label(start []byte, rest string) string {
	for _, c := range start {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return ""
		}
	}
	return string(start) + rest
}
