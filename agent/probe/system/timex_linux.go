package system

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Flags of adjtimex(2) that package unix does not name on every architecture.
const (
	statusNano     = 0x2000
	statusUnsynced = 0x0040
	stateError     = 5
)

// readTimex asks the kernel how its clock is kept, in base units. It changes nothing.
func readTimex() (map[string]float64, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return nil, fmt.Errorf("adjtimex: %w", err)
	}
	unit := 1e6 // of the offset and of the jitter
	if t.Status&statusNano != 0 {
		unit = 1e9
	}
	synced := 1.0
	if state == stateError || t.Status&statusUnsynced != 0 {
		synced = 0
	}
	const ppm16 = 65536 * 1e6 // frequencies are in parts per million, with a fraction of 16 bits
	return map[string]float64{
		"estimated_error_seconds": float64(t.Esterror) / 1e6, "maxerror_seconds": float64(t.Maxerror) / 1e6,
		"frequency_adjustment_ratio": 1 + float64(t.Freq)/ppm16, "loop_time_constant": float64(t.Constant),
		"offset_seconds": float64(t.Offset) / unit, "pps_calibration_total": float64(t.Calcnt), "pps_error_total": float64(t.Errcnt),
		"pps_frequency_hertz": float64(t.Ppsfreq) / ppm16, "pps_jitter_seconds": float64(t.Jitter) / unit,
		"pps_jitter_total": float64(t.Jitcnt), "pps_shift_seconds": float64(t.Shift), "pps_stability_exceeded_total": float64(t.Stbcnt),
		"pps_stability_hertz": float64(t.Stabil) / ppm16, "status": float64(t.Status), "sync_status": synced,
		"tai_offset_seconds": float64(t.Tai), "tick_seconds": float64(t.Tick) / 1e6,
	}, nil
}
