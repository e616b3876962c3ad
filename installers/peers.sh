#!/usr/bin/env bash
# One inventory and one reading by this agent and by other programs, in the same session:
# processor time (best of RUNS), peak memory of the largest process, programs run, bytes of
# output, and how many of each thing they found. It installs nothing; WANTED=yes names the
# packages of what is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
agent=${AGENT:-bin/atalaya-agent} runs=${RUNS:-3} wanted=${WANTED:-yes} port=${NODE_PORT:-19100}
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
has() { command -v "$1" >/dev/null || { [ "$wanted" != yes ] || echo "$1 is not installed (package $2)"; return 1; }; }
strace=1 peak=1
has strace strace || strace=
[ -x /usr/bin/time ] || { peak=; [ "$wanted" != yes ] || echo '/usr/bin/time is not installed (package time)'; }

line() { # line NAME CPU PEAK_MB PROGRAMS FILE ITEMS
	printf '%-34s %7s %7s %9s %9s  %s\n' "$1" "$2" "$3" "$4" "$(awk -v n="$(wc -c <"$5")" 'BEGIN {printf "%.1f", n / 1000}')" "$6"
}
TIMEFORMAT='%3U %3S'
measure() { # measure NAME COUNT COMMAND...: COUNT is the function that counts items in its output
	local name=$1 count=$2 best='' t kb=- n=- i
	shift 2
	for ((i = 0; i < runs; i++)); do
		t=$({ time "$@" >"$dir/out" 2>"$dir/err" </dev/null || true; } 2>&1 | awk '{print $1 + $2}')
		best=$(awk -v a="${best:-$t}" -v b="$t" 'BEGIN {printf "%.3f", a < b ? a : b}')
	done
	if [ -n "$peak" ]; then
		/usr/bin/time -q -f %M -o "$dir/kb" "$@" >/dev/null 2>&1 </dev/null || true
		kb=$(awk '{printf "%.1f", $1 / 1000}' "$dir/kb")
	fi
	if [ -n "$strace" ]; then # the first program is the one asked for
		strace -f -qq -e trace=execve -e signal=none -o "$dir/strace" "$@" >/dev/null 2>&1 </dev/null || true
		n=$(($(grep -cE '(execve\(|resumed>).* = 0$' "$dir/strace") - 1))
	fi
	line "$name" "$best" "$kb" "$n" "$dir/out" "$($count <"$dir/out")"
}
items() { # items NAME=PATTERN...: how many lines of the output have each
	cat >"$dir/items"
	local i
	for i in "$@"; do printf '%s %d  ' "${i%%=*}" "$(grep -cE "${i#*=}" "$dir/items" || true)"; done
}
count_agent() {
	jq -r '.sections | ["packages", "users", "groups", "services", "interfaces", "block_devices"] as $n
		| [$n[] as $k | "\($k) \(.[$k].rows | length)"] + ["sections \([.[] | select(.rows)] | length)", "rows \([.[].rows // [] | length] | add)"] | join("  ")'
}
count_fusion() { items packages='<SOFTWARES>' users='<LOCAL_USERS>' groups='<LOCAL_GROUPS>' services='<SERVICES>' interfaces='<NETWORKS>' block_devices='<STORAGES>'; }
count_lshw() { jq -r '[.. | objects | .class? // empty] | "packages 0  users 0  groups 0  services 0  interfaces \(map(select(. == "network")) | length)  block_devices \(map(select(. == "disk")) | length)  nodes \(length)"'; }
count_facter() { jq -r '"packages 0  users 0  groups 0  services 0  interfaces \(.networking.interfaces // {} | length)  block_devices \(.disks // {} | length)  facts \(length)"'; }
count_metrics() { awk '/^[^#]/ {n++; sub(/[{ ].*/, ""); f[$0]} END {for (k in f) m++; printf "families %d  series %d\n", m, n}'; }

printf '\n%-34s %7s %7s %9s %9s  %s\n' 'one inventory' 'CPU s' 'peak MB' 'programs' 'KB out' 'found'
measure 'atalaya-agent inventory' count_agent "$agent" inventory --format json
! has fusioninventory-inventory fusioninventory-agent || measure 'fusioninventory-inventory' count_fusion fusioninventory-inventory
! has lshw lshw || measure 'lshw -json' count_lshw lshw -json -quiet
! has facter facter || measure 'facter --json' count_facter facter --json

node() { # a node_exporter from its start to the end of one answer
	prometheus-node-exporter --web.listen-address="127.0.0.1:$port" 2>/dev/null & local pid=$!
	until curl -fs "http://127.0.0.1:$port/metrics" >"$dir/node"; do kill -0 "$pid" || return; sleep 0.1; done
	awk '/VmHWM/ {printf "%.1f ", $2 / 1000}' "/proc/$pid/status" >"$dir/nodecost"
	cat "/proc/$pid"/task/*/schedstat | awk '{s += $1} END {printf "%.3f\n", s / 1e9}' >>"$dir/nodecost"
	kill "$pid"; wait "$pid" || true
}
printf '\n%-34s %7s %7s %9s %9s  %s\n' 'one reading, with its start' 'CPU s' 'peak MB' 'programs' 'KB out' 'found'
measure 'atalaya-agent metrics' count_metrics "$agent" metrics --compat node
if has prometheus-node-exporter prometheus-node-exporter && has curl curl; then
	node
	read -r mb cpu <"$dir/nodecost"
	line 'node_exporter' "$cpu" "$mb" 0 "$dir/node" "$(count_metrics <"$dir/node")"
fi
