#!/usr/bin/env bash
# vuln.sh GOVULNCHECK DATABASE: checks what the programs call against a Go vulnerability
# database. Without a reachable database it says so and ends well: a machine without
# internet gives VULNDB=file:///folder (an index as golang.org/x/vulndb makes it).
set -euo pipefail
tool=$1 db=$2
case $db in
file://*) [ -e "${db#file://}/index/modules.json" ] || { echo "vuln: no index/modules.json below ${db#file://}" >&2; exit 1; } ;;
*) if ! curl -fsS --max-time 15 -o /dev/null "$db/index/modules.json.gz" 2>/dev/null; then
	echo "vuln: SKIPPED: the database $db cannot be reached from here; give VULNDB=file:///folder to check offline"
	exit 0
fi ;;
esac
exec go run "$tool" -db "$db" ./...
