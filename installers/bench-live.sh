#!/usr/bin/env bash
# What a fleet that is connected costs the collector (docs/operations.md, Sizing a machine). A
# collector and atalaya-sim run on loopback and share this machine's processors, so that
# processor time is of each process, and times to answer hold for this machine only.
#
#   AGENTS=1000            simulated hosts
#   SERIES=150             of each, read every minute
#   PACKAGES=100           of each: this is about sessions, make bench-fleet about inventories
#   LIVE_SECONDS=120       how long the live fleet is measured
#   IDLE_SECONDS=150       how long the idle fleet is left alone; memory goes back to the system in that time
set -euo pipefail
cd "$(dirname "$0")/.."
n=${AGENTS:-1000} series=${SERIES:-150} packages=${PACKAGES:-100} live=${LIVE_SECONDS:-120} idle=${IDLE_SECONDS:-150}
for tool in jq curl; do command -v "$tool" >/dev/null || { echo "bench-live.sh needs $tool (package $tool)" >&2; exit 2; }; done
ulimit -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((n + 100)) ] || { echo "bench-live.sh needs $((n + 100)) open files (ulimit -n)" >&2; exit 2; }
dir=$(mktemp -d)
agents=127.0.0.1:${AGENTS_PORT:-17543} api=127.0.0.1:${API_PORT:-17544}
export ATALAYA_DATA=$dir/c LC_ALL=C
collector='' fleet='' poller='' metrics=''
trap 'kill -9 $collector $fleet $poller $metrics 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
num() { awk "BEGIN {printf(\"$1\", ($2))}"; }
row() { printf '  %-58s %14s   %s\n' "$1" "$2" "${3:-}"; } # row WHAT MEASURED [BAR]
now() { date +%s.%N; }
kb() { awk -v k="$2:" '$1 == k {print $2}' "/proc/$1/status"; }
cpu() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / hz}' "/proc/$1/stat"; } # seconds
sessions() { bin/atalaya status --output json 2>/dev/null | jq .sessions || echo 0; }
serve() {
	bin/atalaya serve --config "$dir/c.yml" 2>>"$dir/c.log" & collector=$!
	until bin/atalaya status >/dev/null 2>&1; do sleep 0.05; kill -0 "$collector" || { tail "$dir/c.log" >&2; exit 1; }; done
}
halt() { kill "$1"; wait "$1" || true; }
sim() { # sim FLAG...: the fleet, in the background
	bin/atalaya-sim run --agents "$n" --address "$agents" --tokens "$dir/tokens" --state "$dir/sim" --series "$series" --packages "$packages" --change-every 0 "$@" 2>>"$dir/sim.log" & fleet=$!
}
# all: waits until every host has a session, and prints how many seconds that took since a moment
all() { # all SINCE LIMIT
	while [ "$(sessions)" -lt "$n" ]; do
		kill -0 "$fleet" || { tail "$dir/sim.log" >&2; exit 1; }
		[ "$(num %d "$(now) - $1")" -lt "$2" ] || { echo "only $(sessions) of $n hosts have a session after $2 s" >&2; exit 1; }
		sleep 0.5
	done
	num %.1f "$(now) - $1"
}
# poll: asks for the first page of hosts five times a second and notes the seconds of each answer
poll() { while sleep 0.2; do curl -s -o /dev/null -m 30 -w '%{http_code} %{time_total}\n' --unix-socket "$ATALAYA_DATA/atalaya.sock" http://localhost/api/v1/hosts >>"$1" || true; done; }
healthy() { [ "$(curl -s -m 5 --unix-socket "$ATALAYA_DATA/atalaya.sock" http://localhost/healthz)" = ok ]; } # metrics too
quantiles() { # quantiles FILE: median and 99th percentile of what was answered
	awk '$1 == 200 {print $2 * 1000}' "$1" | sort -n | awk '{v[NR] = $1} END {if (!NR) {print "no answer"; exit}; printf "%.1f / %.1f ms", v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.99)]}'
}

printf 'data_dir: %s\nlisten: %s\nadvertise: %s\nlog_level: error\napi:\n  listen: %s\n' "$dir/c" "$agents" "$agents" "$api" >"$dir/c.yml"
serve
bin/atalaya token create --count "$n" >"$dir/tokens" 2>/dev/null
began=$(now)
sim --settle --interval 0 --ramp 1000
wait "$fleet" || { tail "$dir/sim.log" >&2; exit 1; }
enrolled=$(num %.0f "$(now) - $began")
# Started anew, the collector has no more than what it keeps of known hosts.
halt "$collector"
serve
sleep 15
rss=$(kb "$collector" VmRSS) anon=$(kb "$collector" RssAnon)
printf '\nA fleet of %d hosts, %d series each, on %d processors, load %s\n' "$n" "$series" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
row '' measured bar
row 'enrolment and first inventories' "$enrolled s"
row 'collector that knows the hosts, none connected: resident' "$(num %.1f "$rss / 1e3") MB"

sim --interval 0 --inventory-every 0 --ramp 500
all "$(now)" 600 >/dev/null
before=$(cpu "$collector")
sleep "$idle"
row 'an idle agent: resident memory' "$(num %.1f "($(kb "$collector" VmRSS) - $rss) / $n * 1.024") KB" '70 KB'
row '  of it anonymous' "$(num %.1f "($(kb "$collector" RssAnon) - $anon) / $n * 1.024") KB"
row '  idle agents, share of a core' "$(num %.1f "($(cpu "$collector") - $before) / $idle * 100") %"
halt "$fleet"

sim --interval 60s --inventory-every 15m --ramp 500
all "$(now)" 600 >/dev/null
sleep 65 # each host has told its series once
before=$(cpu "$collector") theirs=$(cpu "$fleet") batches=$(wc -l <"$dir/sim/ledger.tsv")
sleep "$live"
row 'a live fleet: collector, share of a core' "$(num %.1f "($(cpu "$collector") - $before) / $live * 100") %" '15 % (10,000)'
row '  the simulator, share of a core' "$(num %.1f "($(cpu "$fleet") - $theirs) / $live * 100") %"
row '  samples acknowledged a second' "$(num %.0f "($(wc -l <"$dir/sim/ledger.tsv") - $batches) * $series / $live")"
row '  collector, resident now / at most' "$(num %.0f "$(kb "$collector" VmRSS) / 1e3") / $(num %.0f "$(kb "$collector" VmHWM) / 1e3") MB" '4000 MB (10,000)'
poll "$dir/live" & poller=$! # only now: what is asked is no part of the share
sleep 30
row '  GET /api/v1/hosts, p50 / p99' "$(quantiles "$dir/live")"
kill "$poller"

kill -9 "$collector"
{ wait "$collector"; } 2>/dev/null || true
killed=$(now)
serve
row 'kill -9: until the API answers' "$(num %.1f "$(now) - $killed") s" '5 s'
{ until healthy; do sleep 0.1; done; num %.1f "$(now) - $killed" >"$dir/metrics"; } & metrics=$!
poll "$dir/back" & poller=$!
before=$(cpu "$collector") theirs=$(cpu "$fleet")
row '  until every host has a session again' "$(all "$killed" 300) s" '60 s (10,000)'
wait "$metrics"; metrics=''
row '  until metrics can be asked' "$(<"$dir/metrics") s"
row '  GET /api/v1/hosts meanwhile, p50 / p99' "$(quantiles "$dir/back")" '1000 ms p99'
row '  CPU meanwhile, collector / simulator' "$(num %.1f "$(cpu "$collector") - $before") / $(num %.1f "$(cpu "$fleet") - $theirs") s"
kill "$poller"
printf '\nload at the end %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
