package hardware

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const powerFolder = "/sys/class/power_supply"

// reportPower adds batteries and power supplies: those that the kernel drives
// (Documentation/ABI/testing/sysfs-class-power), then those that only the firmware
// knows. What SMBIOS adds to a battery of the kernel, a date for instance, is taken
// when both name equally many.
func reportPower(h *probe.Host, r *probe.Report, fw *firmware) {
	entries, err := h.ReadDir(powerFolder)
	h = h.For(facts.Batteries)
	if err != nil && !probe.Absent(err) {
		r.Problem(facts.Batteries, err)
		r.Problem(facts.PowerSupplies, err)
	}
	var batteries []*facts.BatteryRow
	supplies := 0
	for _, e := range entries {
		dir := powerFolder + "/" + e.Name() + "/"
		switch kind := h.ReadString(dir + "type"); {
		case kind == "Battery" && h.ReadString(dir+"scope") != "Device": // of a mouse
			batteries = append(batteries, battery(h, e.Name(), dir))
		case kind == "Mains" || kind == "USB" || kind == "UPS":
			supplies++
			h := h.For(facts.PowerSupplies)
			r.Add(facts.PowerSupplies, &facts.PowerSupplyRow{
				Name: e.Name(), Type: strings.ToLower(kind), Manufacturer: meaningful(printable(h.ReadString(dir + "manufacturer"))),
				Part: meaningful(printable(h.ReadString(dir + "model_name"))), Serial: meaningful(printable(h.ReadString(dir + "serial_number"))),
			})
		}
	}
	if len(batteries) == 0 {
		batteries = fw.battery
	} else if len(batteries) == len(fw.battery) {
		for i, b := range batteries {
			complete(b, fw.battery[i])
		}
	}
	add(r, facts.Batteries, batteries)
	add(r, facts.PowerSupplies, fw.power)
	if errors.Is(err, fs.ErrNotExist) {
		noPower(r, len(batteries), supplies+len(fw.power))
	}
}

// noPower says that a kernel without this class cannot tell what there is.
func noPower(r *probe.Report, batteries, supplies int) {
	if batteries == 0 {
		r.Problem(facts.Batteries, errNoPower)
	}
	if supplies == 0 {
		r.Problem(facts.PowerSupplies, errNoPower)
	}
}

// battery reads a battery of the kernel. Its capacity wanders by a percent from day to
// day: coarse steps keep the row from changing with it.
func battery(h *probe.Host, name, dir string) *facts.BatteryRow {
	text := func(file string) string { return meaningful(printable(h.ReadString(dir + file))) }
	number := func(file string) int64 {
		n, err := strconv.ParseInt(h.ReadString(dir+file), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	const micro, cycleStep, healthStep = 1000, 50, 10
	row := &facts.BatteryRow{
		Name: name, Manufacturer: text("manufacturer"), Model: text("model_name"), Serial: text("serial_number"), Chemistry: text("technology"),
		DesignMWh: number("energy_full_design") / micro, DesignMAh: number("charge_full_design") / micro, DesignMV: number("voltage_min_design") / micro,
		Cycles: number("cycle_count") / cycleStep * cycleStep,
	}
	for _, kind := range []string{"energy", "charge"} {
		if design, full := number(kind+"_full_design"), number(kind+"_full"); design > 0 && full > 0 && full < 2*design {
			row.HealthPercent = int(min(full*100/design, 100)) / healthStep * healthStep
		}
	}
	if y, m, d := number("manufacture_year"), number("manufacture_month"), number("manufacture_day"); y > 0 && m > 0 && d > 0 {
		row.Made = fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	}
	return row
}

// complete adds what only the firmware says of a battery.
func complete(b, more *facts.BatteryRow) {
	for _, f := range []struct{ to, from *string }{
		{&b.Manufacturer, &more.Manufacturer}, {&b.Model, &more.Model}, {&b.Serial, &more.Serial}, {&b.Chemistry, &more.Chemistry},
		{&b.Made, &more.Made}, {&b.Location, &more.Location},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if b.DesignMWh == 0 && b.DesignMAh == 0 {
		b.DesignMWh = more.DesignMWh
	}
	if b.DesignMV == 0 {
		b.DesignMV = more.DesignMV
	}
}
