package metric

// The families that the agent gathers. Names, labels and units are those of
// node_exporter; see docs/data-model.md for the source of each reading.
var (
	CPUSeconds = Desc{Name: "node_cpu_seconds_total", Help: "Seconds each CPU spent in each mode.", Kind: Counter, Decimals: 2, Labels: []string{"cpu", "mode"}}
	Load1      = Desc{Name: "node_load1", Help: "1 minute load average.", Decimals: 2}
	Load5      = Desc{Name: "node_load5", Help: "5 minute load average.", Decimals: 2}
	Load15     = Desc{Name: "node_load15", Help: "15 minute load average.", Decimals: 2}
)
