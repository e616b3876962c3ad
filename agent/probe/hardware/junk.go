package hardware

import (
	"regexp"
	"strings"
)

// junk are whole values, in lower case, that boards carry where their maker filled
// nothing in. They were collected from the DMI reports of many vendors.
var junk = map[string]bool{
	"": true, "not specified": true, "default string": true, "unknown": true, "none": true, "n/a": true, "na": true,
	"not available": true, "not applicable": true, "not present": true, "not defined": true, "undefined": true,
	"no dimm": true, "no module installed": true, "empty": true, "[empty]": true, "<bad index>": true, "null": true,
	"invalid": true, "oem": true, "oem string": true, "fill by oem": true, "o.e.m.": true, "x.x": true, "sku": true,
	"system manufacturer": true, "system product name": true, "system version": true, "system name": true,
	"system serial number": true, "system sku": true, "system model": true, "sys-1234567890": true,
	"chassis manufacturer": true, "chassis version": true, "chassis serial number": true, "chassis manufacture": true,
	"base board serial number": true, "base board": true, "board serial number": true, "board version": true,
	"asset tag": true, "no asset tag": true, "no asset information": true, "asset-1234567890": true,
	"serial number": true, "no serial number": true, "part number": true, "0123456789": true, "123456789": true,
	"1234567890": true, "01234567890123456789ab": true, "mb-1234567890": true, "chassis-1234567890": true,
	"bsn12345678901234567": true, "filled by oem": true, "todo": true, "tbd": true, "family": true,
	"not set": true, "sku number": true, "base board version": true, "unknown product": true, "tbd by oem": true,
	"<out of spec>": true, "reserved": true,
}

var (
	// junkForm matches families of fill-ins: "To be filled by O.E.M. by More String",
	// "A1_AssetTagNum0", "ModulePartNumber00", "Dimm1_SerNum", "Manufacturer03".
	junkForm = regexp.MustCompile(`(?i)to be filled|^(?:[a-z0-9]+_)*(?:dimm|module|array)?[a-z0-9]*_?(?:manufacturer|sernum|serialnumber|assettagnum|assettag|partnum|partnumber|modulepartnumber)_?\d*$`)
	// oneCharacter is a value without information: 00000000, FFFF, xxxx, ......
	oneCharacter = regexp.MustCompile(`^(?:0+|[fF]{4,}|[xX]+|[.\- _*?#]+|0x0+|0x[fF]+)$`)
)

// meaningful returns s without surrounding blanks, or "" when it is a fill-in.
func meaningful(s string) string {
	s = strings.TrimSpace(s)
	if junk[strings.ToLower(s)] || oneCharacter.MatchString(s) || junkForm.MatchString(s) {
		return ""
	}
	return s
}
