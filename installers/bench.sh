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
mem() { awk -v k="$1:" '$1 == k {print $2}' "/proc/$agent/status"; }

first_out=$(value bytes_out) peak=$(mem VmHWM)
sleep 40 # the first inventory is sent and its memory given back
c0=$(cpu) o0=$(value bytes_out) i0=$(value bytes_in) p0=$(value packets)
sleep "$measured"
c1=$(cpu) o1=$(value bytes_out) i1=$(value bytes_in) p1=$(value packets)

awk -v s="$measured" -v iv="$interval" -v c=$((c1 - c0)) -v o=$((o1 - o0)) -v i=$((i1 - i0)) -v p=$((p1 - p0)) \
	-v rss="$(mem VmRSS)" -v anon="$(mem RssAnon)" -v peak="$peak" -v first="$first_out" -v n="$(series)" \
	-v bin="$(stat -c %s bin/atalaya-agent)" -v procs="$(ls -d /proc/[0-9]* | wc -l)" 'BEGIN {
	printf "\nThe agent on this machine (%d processes), a reading each %d s, %d series, %d s measured\n", procs, iv, n, s
	printf "  CPU                     %8.2f ms a reading, %.3f s in 10 min (asking for these figures included)\n", c / 1000 / (s / iv), c / 1e6 * 600 / s
	printf "  on the wire             %8.0f B a minute out, %.0f in, %.0f packets; %.2f MB a day with IP and UDP headers\n", o * 60 / s, i * 60 / s, p * 60 / s, (o + i + 28 * p) * 86400 / s / 1e6
	printf "  first report            %8.1f KB out, enrolment not counted\n", first / 1000
	printf "  resident memory         %8.1f MB, %.1f MB anonymous; peak with the first inventory %.1f MB\n", rss / 1000, anon / 1000, peak / 1000
	printf "  static binary           %8.1f MB\n", bin / 1e6
}'
