package devices

import (
	"strings"

	"atalaya/agent/probe"
)

// pnpVendors are the makers of common displays by the three letters that the UEFI
// forum registered for them (uefi.org/pnp_id_list), of which the system may have a
// full list.
var pnpVendors = map[string]string{
	"ACI": "Ancor Communications Inc", "ACR": "Acer Technologies", "AIC": "AG Neovo", "AOC": "AOC", "APP": "Apple Computer Inc",
	"AUO": "AU Optronics", "AUS": "ASUSTek COMPUTER INC", "AVO": "Avocent Corporation", "BBY": "Insignia",
	"BNQ": "BenQ Corporation", "BOE": "BOE", "CMI": "InnoLux Display Corporation", "CMN": "Chimei Innolux Corporation",
	"CMO": "Chi Mei Optoelectronics corp.", "CPQ": "Compaq Computer Company", "CPT": "Chunghwa Picture Tubes Ltd.",
	"DEL": "Dell Inc.", "DON": "DENON, Ltd.", "DWE": "Daewoo Electronics Company Ltd", "EIZ": "EIZO",
	"ELO": "Elo TouchSystems Inc", "EMC": "eMicro Corporation", "ENC": "Eizo Nanao Corporation",
	"EPI": "Envision Peripherals Inc", "EPS": "Seiko Epson Corporation", "FUJ": "Fujitsu Ltd",
	"FUS": "Fujitsu Siemens Computers GmbH", "GBT": "Gigabyte Technology Co Ltd", "GSM": "LG Electronics",
	"GWY": "Gateway 2000", "HEI": "Hyundai Electronics Industries Co., Ltd.", "HIQ": "Kaohsiung Opto Electronics",
	"HIT": "Hitachi America Ltd", "HPN": "HP Inc.", "HSD": "HannStar Display Corp", "HSP": "HannStar Display Corp",
	"HWP": "Hewlett Packard", "HWV": "Huawei Technologies Co., Inc.", "IBM": "IBM", "IFS": "InFocus Corporation",
	"IMP": "Impression Products Incorporated", "INL": "InnoLux Display Corporation", "IQT": "IMAGEQUEST Co., Ltd",
	"IVM": "Iiyama North America", "IVO": "InfoVision", "JVC": "JVC", "KDM": "Korea Data Systems Co., Ltd.",
	"LEN": "Lenovo Group Limited", "LGD": "LG Display", "LPL": "LG Philips", "LTN": "Litronic Inc", "MAG": "MAG InnoVision",
	"MAX": "Rogen Tech Distribution Inc", "MEI": "Panasonic Industry Company", "MEL": "Mitsubishi Electric Corporation",
	"MSI": "Microstep", "MTC": "Mars-Tech Corporation", "NEC": "NEC Corporation", "NOK": "Nokia Display Products",
	"NVD": "Nvidia", "ONK": "ONKYO Corporation", "OTM": "Optoma Corporation", "PGS": "Princeton Graphic Systems",
	"PHL": "Philips Consumer Electronics Company", "PIO": "Pioneer Electronic Corporation", "PKB": "Packard Bell Electronics",
	"PTS": "Plain Tree Systems Inc", "QDS": "Quanta Display Inc.", "RTD": "Rogen Tech Distribution Inc",
	"RTK": "Realtek Semiconductor Company Ltd", "SAM": "Samsung Electric Company", "SAN": "Sanyo Electric Co.,Ltd.",
	"SDC": "Samsung Display Corp", "SEC": "Seiko Epson Corporation", "SHP": "Sharp Corporation",
	"SNI": "Siemens Microdesign GmbH", "SNY": "Sony", "SPT": "Sceptre Tech Inc", "TOS": "Toshiba Corporation",
	"VES": "Vestel Elektronik Sanayi ve Ticaret A. S.", "VIZ": "VIZIO, Inc", "VSC": "ViewSonic Corporation",
	"WAC": "Wacom Tech", "WDE": "Westinghouse Digital Electronics", "WOR": "Wortmann", "XMI": "Xiaomi Corporation",
	"YMH": "Yamaha Corporation",
}

const pnpFile = "/usr/share/hwdata/pnp.ids"

// maxPNPFile bounds the system's list; hwdata's has 60 KB.
const maxPNPFile = 1 << 20

// pnpVendor is the name of a maker: ours, which is the same on all machines, or that
// of the system's list, whose lines are the letters, a tab and the name.
func pnpVendor(h *probe.Host, id string) string {
	if name, ok := pnpVendors[id]; ok || id == "" || h == nil {
		return name
	}
	b, err := h.ReadFile(pnpFile)
	if err != nil || len(b) > maxPNPFile {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, id+"\t"); ok {
			return strings.TrimSpace(strings.ToValidUTF8(name, ""))
		}
	}
	return ""
}
