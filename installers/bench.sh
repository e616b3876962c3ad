#!/usr/bin/env bash
# What the agent costs on this machine, each figure beside its budget (docs/operations.md,
# Measuring the agent). A collector and six agents run on loopback, left alone until their
# first inventory is sent and its memory given back, then measured for BENCH_SECONDS.
# Counts and bytes are exact; times are those of this machine with all else that it does:
# one that was taken while more wanted to run than there are processors has a ~.
#
#   BENCH_SECONDS=180      how long the steady state is measured
#   BENCH_SETTLE=60        how long it is left alone before
#   BENCH_HOT=1            0: without the benchmarks of hot paths
#   NODE_EXPORTER=         a command; it is asked every 10 s as Prometheus would, beside the agents
set -euo pipefail
cd "$(dirname "$0")/.."
measured=${BENCH_SECONDS:-180} settle=${BENCH_SETTLE:-60} node=${NODE_EXPORTER:-} node_port=${NODE_PORT:-19101}
command -v jq >/dev/null || { echo 'bench.sh needs jq (package jq)' >&2; exit 2; }
dir=$(mktemp -d)
agents=127.0.0.1:${AGENTS_PORT:-17463} api=127.0.0.1:${API_PORT:-17464}
export ATALAYA_DATA=$dir/c LC_ALL=C
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
# busy: more wants to run than there are processors, so that times are not this program's alone.
busy() { awk -v n="$(nproc)" '{exit !($1 > n)}' /proc/loadavg; }
row() { # row WHAT MEASURED BUDGET [BEST PEER]
	local value=$2
	case $value in *' s' | *' us' | *' ms') if busy; then value="~$value" doubt=1; fi ;; esac
	printf '  %-52s %12s   %-16s %s\n' "$1" "$value" "$3" "${4:-}"
}
doubt=''
num() { awk "BEGIN {printf(\"$1\", ($2))}"; }

# Hot paths: the benchmarks in the repository.
bench() { # bench PACKAGE NAME: its line
	go test -run '^$' -bench "^Benchmark$2\$" -benchmem "./$1" | grep "^Benchmark$2" | tail -n 1
}
of() { awk -v u="$2" '{for (i = 2; i <= NF; i++) if ($i == u) print $(i - 1)}' <<<"$1"; } # of LINE UNIT
hot() {
	local l
	l=$(bench agent/probe ReadingEverything)
	row 'one reading, hot' "$(num %.0f "$(of "$l" cpu-ns/op) / 1000") us" '80 us' 'procfs library 267-361 us'
	row '  its allocations' "$(of "$l" allocs/op)" 5 'procfs library 709'
	l=$(bench agent/probe/process Scan2000)
	row 'scan of 2,000 processes' "$(num %.1f "$(of "$l" ns/op) / 1e6") ms" '30 ms' 'procfs library 62 ms'
	row '  its allocations' "$(of "$l" allocs/op)" 'none a process' 'procfs library 52,065'
	l=$(bench agent/probe/packages Unchanged)
	row 'unchanged packages, looked at again' "$(num %.1f "$(of "$l" ns/op) / 1000") us" '10 us' 'dpkg-query 9,400 us'
	l=$(bench agent/spool InventoryOnTheWire)
	row 'inventory on the wire, unchanged' "$(num %.0f "$(of "$l" unchanged-B)") B" '500 B' 'fusioninventory 25,000 B'
	row '  more when one package of 1,556 changed' "$(num %.0f "$(of "$l" changed-B)") B" '300 B' 'fusioninventory 25,000 B'
}
inventory() {
	local t best='' i TIMEFORMAT='%3U %3S'
	for i in 1 2 3 4 5; do
		t=$({ time bin/atalaya-agent inventory --format json >"$dir/inventory" 2>/dev/null; } 2>&1 | awk '{print $1 + $2}')
		best=$(num %.3f "${best:-$t} < $t ? ${best:-$t} : $t")
	done
	row 'full inventory, first look, its start included' "$best s" '0.03 s' 'fusioninventory 0.72 s'
	programs
}
# Programs: all that an inventory starts but the agent's own helper.
programs() {
	if ! command -v strace >/dev/null; then
		row '  programs run by it' 'not counted' 0 'strace is not installed'
		return
	fi
	strace -f -qq -e trace=execve -e signal=none -o "$dir/execve" bin/atalaya-agent inventory --format json >/dev/null 2>&1 || true
	row '  programs run by it' "$(grep -c 'execve(.* = 0' < <(grep -vE 'execve\("(bin/atalaya-agent|[^"]*/atalaya-agent|/proc/self/exe)"' "$dir/execve") || true)" 0 'fusioninventory 58'
}

# Steady state.
declare -A pid
launch() { # launch NAME CONFIGURATION
	printf '%s\n' "$2" >"$dir/$1.yml"
	bin/atalaya token create >"$dir/token" 2>/dev/null
	bin/atalaya-agent enroll --token-file "$dir/token" --state "$dir/$1" 2>/dev/null
	bin/atalaya-agent run --state "$dir/$1" --config "$dir/$1.yml" 2>"$dir/$1.log" & pid[$1]=$!
	pids+=("$!")
}
cpu() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); printf "%d\n", ($12 + $13) * 1e6 / hz}' "/proc/$1/stat"; } # microseconds, in ticks
wakes() { cat "/proc/$1"/task/*/status | awk '/^voluntary_ctxt/ {s += $2} END {print s}'; }
mem() { awk -v k="$2:" '$1 == k {printf "%.1f", $2 / 1000}' "/proc/$1/status"; }
look() { # look NAME: CPU, wake-ups, bytes out, bytes in, packets, so far
	local w
	w=$(wakes "${pid[$1]}") # before it is asked, which wakes it
	bin/atalaya-agent status --state "$dir/$1" --format json |
		jq -r --arg w "$w" '[(.process.cpu_seconds * 1e6 | floor), ($w | tonumber), (.uplink | .bytes_out, .bytes_in, .packets)] | join(" ")'
}
# inventories NAME: the probes of the inventory, each with its runs and their microseconds
inventories() {
	bin/atalaya-agent cost --state "$dir/$1" --format json |
		jq -r '.. | objects | select(.probe? and (.metrics | not)) | "\(.probe) \(.runs) \(.cpu_seconds * 1e6 | floor)"' | sort
}
# again NAME: seconds of one more inventory, from what inventories said before and after
again() {
	join "$dir/$1.inventories" <(inventories "$1") | awk '$4 > $2 {s += ($5 - $3) / ($4 - $2); n++} END {printf "%.3f", s / 1e6; if (!n) exit 1}'
}
series() { bin/atalaya-agent cost --state "$dir/$1" --format json | jq '[.[]? | if type == "array" then .[] else . end | select(.metrics?) | .last_items] | add'; }

steady() {
	local core='^(cpu|memory|disk|filesystem|network|system)$' every rest names n
	every=$(grep -rhoE 'probe\.Gather\(probe\.Info\{Name: "[a-z_0-9]+"' agent/probe --include='*.go' --exclude='*_test.go' | cut -d'"' -f2 | sort -u | paste -sd,)
	launch all "enabled_metrics: [$every]
processes: {interval: 10s}"
	launch default 'interval: 10s'
	sleep 5
	rest=$(bin/atalaya-agent cost --state "$dir/all" --format json | jq -r '[.. | objects | select(.metrics? == true) | .probe] | unique[]' | grep -vE "$core" | grep -vxE 'self|watch|textfile' | paste -sd,)
	launch system "disabled_metrics: [$rest]"
	launch slow "interval: 60s
inventory_interval: 24h
disabled_sections: [listening_sockets, connections]
disabled_metrics: [$rest]"
	launch again "inventory_interval: 30s
disabled_metrics: [$rest]"
	launch processes "disabled_metrics: [$(sed 's/\bprocesses\b,\?//' <<<"$rest")]
processes: {interval: 10s}"
	if [ -n "$node" ]; then
		$node --web.listen-address="127.0.0.1:$node_port" 2>/dev/null & pid[node]=$!
		pids+=("$!")
		while sleep 10; do curl -fs -H 'Accept-Encoding: gzip' "http://127.0.0.1:$node_port/metrics" | wc -c >>"$dir/scrapes" || true; done & pids+=("$!")
	fi
	sleep "$settle"
	for n in "${!pid[@]}"; do kill -0 "${pid[$n]}" || { cat "$dir/$n.log" >&2; return 1; }; done
	names='system processes all default slow'
	for n in $names; do look "$n" >"$dir/$n.before"; done
	inventories again >"$dir/again.inventories"
	[ -z "$node" ] || echo "$(cpu "${pid[node]}") $(wakes "${pid[node]}")" >"$dir/node.before"
	sleep "$measured"
	for n in $names; do look "$n" >"$dir/$n.after"; done
	[ -z "$node" ] || echo "$(cpu "${pid[node]}") $(wakes "${pid[node]}")" >"$dir/node.after"
	report
}
spent() { # spent NAME: what the columns of look grew by
	paste -d' ' "$dir/$1.before" "$dir/$1.after" | awk '{n = NF / 2; for (i = 1; i <= n; i++) printf "%d ", $(n + i) - $i}'
}
wire() { awk -v s="$measured" '{printf "%.2f", ($3 + $4 + 28 * $5) * 86400 / s / 1e6}' <<<"$(spent "$1")"; }
tenmin() { awk -v s="$measured" '{printf "%.3f", $1 / 1e6 * 600 / s}' <<<"$(spent "$1")"; }
report() {
	local n
	row 'one more inventory of a running agent' "$(again again || echo no) s" '0.03 s' 'fusioninventory 0.72 s'
	row 'CPU in 10 min, system metrics each 10 s, sent' "$(tenmin system) s" '0.15 s' 'netdata lean 0.28 s'
	row 'the same with every process' "$(tenmin processes) s" '0.35 s' 'netdata 2.9 s'
	row "wire a day, $(series slow) series each 60 s, IP and UDP" "$(wire slow) MB" '0.9 MB (100)' 'telegraf 2.3 MB'
	row 'resident memory, as installed' "$(mem "${pid[default]}" VmRSS) MB" '14 MB' 'node_exporter 23 MB'
	row '  of it anonymous' "$(mem "${pid[default]}" RssAnon) MB" '5 MB' 'node_exporter 7 MB'
	row '  peak through an inventory' "$(mem "${pid[default]}" VmHWM) MB" '24 MB' 'fusioninventory 65 MB'
	printf '\nSteady for %d s, %d processes on this machine\n' "$measured" "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)"
	printf '  %-34s %7s %9s %7s %7s %7s %8s %9s\n' '' series 'CPU/10min' 'RSS MB' 'anon MB' 'peak MB' 'wakes/s' 'MB a day'
	for n in system processes default all slow; do
		printf '  %-34s %7s %9s %7s %7s %7s %8s %9s\n' "$(title "$n")" "$(series "$n")" "$(tenmin "$n")" "$(mem "${pid[$n]}" VmRSS)" \
			"$(mem "${pid[$n]}" RssAnon)" "$(mem "${pid[$n]}" VmHWM)" "$(awk -v s="$measured" '{printf "%.1f", $2 / s}' <<<"$(spent "$n")")" "$(wire "$n")"
	done
	[ -z "$node" ] || printf '  %-34s %7s %9s %7s %7s %7s %8s %9s\n' 'node_exporter, asked each 10 s' "$(curl -fs "http://127.0.0.1:$node_port/metrics" | grep -c '^[^#]')" \
		"$(tenmin node)" "$(mem "${pid[node]}" VmRSS)" "$(mem "${pid[node]}" RssAnon)" "$(mem "${pid[node]}" VmHWM)" \
		"$(awk -v s="$measured" '{printf "%.1f", $2 / s}' <<<"$(spent node)")" "$(awk '{s += $1} END {printf "%.2f", s / NR * 8640 / 1e6}' "$dir/scrapes") (answers alone)"
}
title() {
	case $1 in
	system) echo 'system metrics, 10 s' ;;
	processes) echo 'and every process, 10 s' ;;
	default) echo 'as installed' ;;
	all) echo 'all probes on, processes each 10 s' ;;
	slow) echo 'system metrics, 60 s' ;;
	esac
}

printf 'data_dir: %s\nlisten: %s\nadvertise: %s\napi:\n  listen: %s\n' "$dir/c" "$agents" "$agents" "$api" >"$dir/c.yml"
bin/atalaya serve --config "$dir/c.yml" 2>"$dir/c.log" & pids+=($!)
until bin/atalaya status >/dev/null 2>&1; do sleep 0.1; done

printf '\nThe agent on this machine, load %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
row '' measured budget 'best peer (measured elsewhere)'
row 'static binary' "$(num %.1f "$(stat -c %s bin/atalaya-agent) / 1048576") MiB" '12 MiB' 'node_exporter 12.4 MB'
inventory
[ "${BENCH_HOT:-1}" = 0 ] || hot
steady
[ -z "$doubt" ] || printf '\n~ taken at a load above %s, the number of processors (now %s): with a machine of its own it is less.\n' "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
