#!/usr/bin/env bash
# The main job on this machine: a collector and an agent with their state in ./var,
# until Ctrl-C. ONCE=1 ends after the first complete report: 0 if it came within
# 60 s, else 1 with a reason. No process is left behind.
#
# AGENTS and API change the addresses, VAR the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
var=${VAR:-$PWD/var} agents=${AGENTS:-127.0.0.1:7443} api=${API:-127.0.0.1:7480}
export ATALAYA_DATA=$var/collector
mkdir -p "$var"
chmod 700 "$var"

pids=()
stop() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() { # fail LOG MESSAGE: the last words of the program that gave up
	echo "make run: $2" >&2
	[ ! -s "$1" ] || { echo "--- end of $1:" >&2; tail -n 5 "$1" >&2; }
	exit 1
}

cat >"$var/collector.yml" <<EOF
data_dir: $var/collector
listen: $agents
advertise: $agents
api:
  listen: $api
EOF
bin/atalaya serve --config "$var/collector.yml" >"$var/collector.log" 2>&1 &
collector=$!
pids+=("$collector")
until bin/atalaya status >/dev/null 2>&1; do
	kill -0 "$collector" 2>/dev/null || fail "$var/collector.log" "the collector did not start"
	sleep 0.1
done

if [ ! -e "$var/agent/host.pem" ]; then
	(umask 077 && bin/atalaya token create --ttl 10m --note "make run" >"$var/token" 2>"$var/agent.log") ||
		fail "$var/agent.log" "the collector gave no token"
	bin/atalaya-agent enroll --token-file "$var/token" --state "$var/agent" >"$var/agent.log" 2>&1 ||
		fail "$var/agent.log" "the agent could not enrol"
	rm -f "$var/token"
fi
bin/atalaya-agent run --state "$var/agent" >>"$var/agent.log" 2>&1 &
agent=$!
pids+=("$agent")

host=$(bin/atalaya-agent why-same --state "$var/agent" --format json | sed -n 's/.*"host_id": "\(.*\)".*/\1/p')
bin/atalaya overview "$host" --wait 60s || {
	kill -0 "$agent" 2>/dev/null || fail "$var/agent.log" "the agent ended"
	fail "$var/agent.log" "no complete report came within 60 s"
}
cat <<EOF

API       http://$api/api/v1/ (described at http://$api/openapi.json)
          without a token through the socket: curl --unix-socket $var/collector/atalaya.sock http://x/api/v1/hosts
Ask       export ATALAYA_DATA=$var/collector
          bin/atalaya host show; bin/atalaya patch status; bin/atalaya metric query node_load1
Logs      $var/collector.log  $var/agent.log
EOF
[ -z "${ONCE:-}" ] || exit 0
echo "Running until Ctrl-C."
wait -n "$collector" "$agent" || true
fail "$var/collector.log" "a program ended by itself"
