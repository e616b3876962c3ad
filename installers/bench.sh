#!/usr/bin/env bash
# What a running agent costs on this machine: a collector and an agent on loopback, left
# alone for a while, then measured over SECONDS_MEASURED (default 120). Counts are exact;
# times are those of a shared machine.
set -euo pipefail
cd "$(dirname "$0")/.."
measured=${SECONDS_MEASURED:-120} interval=${INTERVAL:-10}
dir=$(mktemp -d)
agents=127.0.0.1:${AGENTS_PORT:-17463} api=127.0.0.1:${API_PORT:-17464}
export ATALAYA_DATA=$dir/c
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

printf 'data_dir: %s\nlisten: %s\nadvertise: %s\napi:\n  listen: %s\n' "$dir/c" "$agents" "$agents" "$api" >"$dir/c.yml"
printf 'interval: %ss\n' "$interval" >"$dir/a.yml"
bin/atalaya serve --config "$dir/c.yml" 2>"$dir/c.log" & pids+=($!)
until bin/atalaya status >/dev/null 2>&1; do sleep 0.1; done
bin/atalaya token create >"$dir/token" 2>/dev/null
bin/atalaya-agent enroll --token-file "$dir/token" --state "$dir/a" 2>/dev/null
bin/atalaya-agent run --state "$dir/a" --config "$dir/a.yml" 2>"$dir/a.log" & agent=$!
pids+=("$agent")
bin/atalaya overview --wait 60s >/dev/null

value() { # value NAME: one number of the agent's status
	bin/atalaya-agent status --state "$dir/a" --format json | tr -d ' ,"' | sed -n "s/^$1://p" | head -n 1
}
cpu() { cat "/proc/$agent"/task/*/schedstat | awk '{s += $1} END {printf "%d\n", s / 1000}'; } # microseconds on a processor
series() { bin/atalaya status --output json | tr -d ' ,"' | sed -n 's/^series://p'; }
wakes() { cat "/proc/$agent"/task/*/status | awk '/^voluntary_ctxt/ {s += $2} END {print s}'; }
mem() { awk -v k="$1:" '$1 == k {print $2}' "/proc/$agent/status"; }

first_out=$(value bytes_out) peak=$(mem VmHWM)
sleep 40 # the first inventory is sent and its memory given back
w0=$(wakes) c0=$(cpu) o0=$(value bytes_out) i0=$(value bytes_in) p0=$(value packets)
sleep "$measured"
w1=$(wakes) c1=$(cpu) o1=$(value bytes_out) i1=$(value bytes_in) p1=$(value packets)

awk -v s="$measured" -v iv="$interval" -v c=$((c1 - c0)) -v o=$((o1 - o0)) -v i=$((i1 - i0)) -v p=$((p1 - p0)) -v w=$((w1 - w0)) \
	-v rss="$(mem VmRSS)" -v anon="$(mem RssAnon)" -v peak="$peak" -v first="$first_out" -v n="$(series)" \
	-v bin="$(stat -c %s bin/atalaya-agent)" -v procs="$(ls -d /proc/[0-9]* | wc -l)" 'BEGIN {
	printf "\nThe agent on this machine (%d processes), a reading each %d s, %d series, %d s measured\n", procs, iv, n, s
	printf "  %-44s %12s   %s\n", "", "measured", "budget (peers: peers beside it: not measured here)"
	printf "  %-44s %10.3f s   %s\n", "CPU in 10 min, processes and sending included", c / 1e6 * 600 / s, "0.35 s (0.15 s without processes)"
	printf "  %-44s %9.2f ms   %s\n", "CPU a reading, asking for this included", c / 1000 / (s / iv), ""
	printf "  %-44s %9.1f MB   %s\n", "resident memory", rss / 1000, "14 MB"
	printf "  %-44s %9.1f MB   %s\n", "of it anonymous", anon / 1000, "5 MB"
	printf "  %-44s %9.1f MB   %s\n", "peak through an inventory", peak / 1000, "24 MB"
	printf "  %-44s %9.1f MB   %s\n", "static binary", bin / 1e6, "12 MB"
	printf "  %-44s %9.2f MB   %s\n", "on the wire a day, IP and UDP included", (o + i + 28 * p) * 86400 / s / 1e6, "0.9 MB for 100 metrics each 60 s"
	printf "  %-44s %9.0f B    %s\n", "out a minute", o * 60 / s, ""
	printf "  %-44s %9.1f KB   %s\n", "first report, enrolment not counted", first / 1000, ""
	printf "  %-44s %10.1f     %s\n", "wake-ups of its threads a second", w / s, ""
	print "  a hot reading and a scan of 2,000 processes: the benchmarks ReadingEverything (80 us, 5 allocations) and Scan2000 (30 ms)"
}'
