#!/usr/bin/env bash
# The inventory of this machine against what the machine's own tools say, row by row, and
# beside it what other programs cost and find. Run it as root: rows that only root may see
# are rows too. It installs nothing and changes nothing.
#
#   installers/truth.sh [--rows] [--peers] [--no-peers]
#
# --rows lists each row that is missing or extra; --peers says which peers are not
# installed, where without it these are left out silently. Exit 1 when a row is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
agent=${AGENT:-bin/atalaya-agent} rows='' peers=maybe
for a in "$@"; do
	case $a in
	--rows) rows=1 ;;
	--peers) peers=yes ;;
	--no-peers) peers=no ;;
	*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
has() { command -v "$1" >/dev/null; }
has jq || { echo 'truth.sh needs jq (package jq)' >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Truths. Each prints one row a line, fields parted by tabs, as the filter of the same name
# prints the agent's. A tool that is not there or has nothing to say ends with a reason.

no() { echo "$*" >"$dir/reason"; return 1; }
need() { has "$1" || no "$1 is not installed (package $2)"; }

truth_packages() {
	need dpkg-query dpkg || return
	dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Architecture}\t${Version}\n' | sed -n 's/^installed\t//p'
}
# Owners: of all that Python installed, only what no package of the system owns is a row.
truth_owners() {
	need dpkg-query dpkg || return
	find /usr /opt /root /home /srv -xdev \( -name '*.dist-info' -o -name '*.egg-info' \) 2>/dev/null |
		grep -E '/(site|dist)-packages/[^/]+$' >"$dir/marks" || true
	xargs -r -d '\n' dpkg-query -S <"$dir/marks" 2>/dev/null | sed 's/^[^/]*: //' | sort >"$dir/owned" || true
	sort "$dir/marks" | comm -23 - "$dir/owned" | while IFS= read -r m; do
		f=$m
		[ ! -d "$m" ] || for f in "$m/METADATA" "$m/PKG-INFO"; do [ ! -f "$f" ] || break; done
		[ -f "$f" ] || continue # what an uninstalled package left behind
		sed -n -e 's/\r$//' -e '/^$/q' -e 's/^Name: //p' -e 's/^Version: //p' "$f" | paste -sd '\t'
	done
}
truth_users() { need getent libc-bin || return; getent passwd | awk -F: -v OFS='\t' '{print $1, $3, $4, $6, $7}'; }
truth_groups() {
	need getent libc-bin || return
	getent group | while IFS=: read -r n _ g m; do printf '%s\t%s\t%s\n' "$n" "$g" "$(tr , '\n' <<<"$m" | sort | paste -sd,)"; done
}
units() { # units KIND
	need systemctl systemd || return
	local root=--root=/
	[ ! -d /run/systemd/system ] || root=--no-pager
	systemctl $root list-unit-files --type="$1" --no-legend | awk -v OFS='\t' -v k=".$1" '{sub(k "$", "", $1); print $1, $2}'
}
truth_services() { units service; }
truth_unit_sockets() { units socket; }
truth_timers() { units timer; }
truth_sockets() {
	need ss iproute2 || return
	# UDP sockets on ports that the kernel gives to clients do not listen (docs/adr/0031).
	ss -H -lntup | awk -v OFS='\t' -v range="$(cat /proc/sys/net/ipv4/ip_local_port_range)" 'BEGIN { split(range, r) } {
		n = match($5, /:[^:]*$/); a = substr($5, 1, n - 1); port = substr($5, n + 1)
		gsub(/[][]/, "", a); sub(/%.*/, "", a); if (a == "*") a = "::"
		if ($1 == "udp" && port >= r[1] + 0 && port <= r[2] + 0) next
		name = ""; if (match($0, /\(\("[^"]*"/)) name = substr($0, RSTART + 3, RLENGTH - 4)
		print $1, a, port, name }'
}
truth_interfaces() { need ip iproute2 || return; ip -j link | jq -r '.[] | [.ifname, .address // "", .mtu, (.operstate | ascii_downcase)] | join("\t")'; }
truth_addresses() {
	need ip iproute2 || return
	ip -j addr | jq -r '.[] | .ifname as $n | .addr_info[] | [$n, .local, .prefixlen, .family, .scope] | join("\t")'
}
truth_routes() {
	need ip iproute2 || return
	# A host's route is one of all its bits; one that leads nowhere has no interface.
	{ ip -j route; ip -j -6 route; } | jq -r '.[] | . as $r | (.nexthops // [.])[] |
		[($r.dst | if test("^default$|/") then . elif test(":") then . + "/128" else . + "/32" end),
		.gateway // "", (if $r.type then "" else .dev // $r.dev end), $r.metric // 0] | join("\t")'
}
file_system() { blkid -p -s TYPE -o value "$1" 2>/dev/null || findmnt -n -o FSTYPE -f -S "$1" || true; } # not every root may open devices
truth_block_devices() {
	need lsblk util-linux || return
	need blkid util-linux || return # lsblk knows file systems only where udev runs
	lsblk -J -b -o NAME,TYPE,SIZE,RO,MAJ:MIN | jq -r '[.. | objects | select(.name)] | .[] |
		[.name, .type, .size, .ro, ."maj:min"] | join("\t")' | while IFS= read -r l; do
		printf '%s\t%s\n' "$l" "$(file_system "/dev/${l%%$'\t'*}")"
	done
}
truth_mounts() {
	need findmnt util-linux || return
	findmnt -J -l -o TARGET,SOURCE,FSTYPE,OPTIONS | jq -r '.filesystems[] | [.target, .source, .fstype, .options] | join("\t")'
}
truth_kernel_modules() {
	need lsmod kmod || return
	[ -e /proc/modules ] || { no 'this kernel has no modules'; return; }
	lsmod | awk 'NR > 1 {print $1}'
}
# Parameters: of the hundreds there are, those that the agent reports.
truth_kernel_parameters() {
	need sysctl procps || return
	sysctl -a 2>/dev/null | sed 's/ = \{0,1\}/\t/' | awk -F'\t' 'NR == FNR {want[$1]; next} $1 in want' \
		<(jq -r '.sections.kernel_parameters.rows[]?.name' "$dir/inventory" 2>/dev/null) - | tr -s '\t ' ' ' | sed 's/ /\t/'
}
truth_patches() {
	need apt-get apt || return
	apt-get -s dist-upgrade 2>/dev/null | sed -nE 's/^Inst ([^ ]+) \[([^]]+)\] \(([^ ]+) .*\[([a-z0-9]+)\]\).*/\1\t\2\t\3/p'
}
truth_cron_jobs() {
	[ -d /etc/cron.d ] || [ -d /var/spool/cron ] || { no 'no cron on this machine'; return; }
	local f
	for f in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/* /var/spool/cron/*; do
		case ${f##*/} in *.* | *~) continue ;; esac # run-parts leaves these alone too
		[ ! -f "$f" ] || awk -v OFS='\t' -v f="$f" '/^[ \t]*[0-9*@]/ {print f, $0}' "$f" | awk -F'\t' -v OFS='\t' '{split($2, w, " "); print $1, substr(w[1], 1, 1) == "@" ? w[1] : w[1] " " w[2] " " w[3] " " w[4] " " w[5]}'
	done
	for f in hourly daily weekly monthly; do
		[ ! -d "/etc/cron.$f" ] || find "/etc/cron.$f" -type f -perm /111 -regex '.*/[a-zA-Z0-9_-]+' -printf "%p\t@$f\n"
	done
}
truth_authorized_keys() {
	need ssh-keygen openssh-client || return
	getent passwd | while IFS=: read -r u _ _ _ _ h _; do
		for f in "$h/.ssh/authorized_keys" "$h/.ssh/authorized_keys2"; do
			[ ! -s "$f" ] || ssh-keygen -lf "$f" 2>/dev/null | awk -v OFS='\t' -v u="$u" '{print u, $2}'
		done
	done
}
truth_pci_devices() {
	need lspci pciutils || return
	lspci -Dn | awk -v OFS='\t' '{sub(/:$/, "", $2); print $1, $2, $3}'
}

# What the agent says of the same, in the same form.
declare -A filter=(
	[packages]='packages .source == "dpkg" .name,.arch,.version'
	[owners]='packages .source == "pip" .name,.version'
	[users]='users true .name,.uid,.gid,.home,.shell'
	[groups]='groups true .name,.gid,(.members//[]|sort|join(","))'
	# Instances of templates have no file of their own.
	[services]='services .manager == "systemd" and (.name as $n|.path//""|endswith("/"+$n+".service")) .name,.enabled'
	[unit_sockets]='unit_sockets true .name,.enabled'
	[timers]='timers true .name,.enabled'
	[sockets]='listening_sockets true (.protocol|sub("6$";"")),.address,.port,.process'
	[interfaces]='interfaces true .name,.mac,.mtu,.state'
	[addresses]='addresses true .interface,.address,.prefix,.family,.scope'
	[routes]='routes true .destination,.gateway,.interface,(.metric//0)'
	[block_devices]='block_devices true .name,.type,.size_bytes,.read_only,.major_minor,.fs_type'
	[mounts]='mounts .mounted .target,.source,.type,.options'
	[kernel_modules]='kernel_modules true .name'
	[kernel_parameters]='kernel_parameters true .name,.value'
	[patches]='patches .state == "pending" .name,.installed,.candidate'
	[cron_jobs]='cron_jobs true .file,.schedule'
	[authorized_keys]='authorized_keys true .user,.fingerprint'
	[pci_devices]='pci_devices true .address,.class_id[0:4],(.vendor_id+":"+.device_id)'
)
order='packages owners users groups services unit_sockets timers sockets interfaces addresses routes
	block_devices mounts kernel_modules kernel_parameters patches cron_jobs authorized_keys pci_devices'

ours() { # ours NAME: the agent's rows
	local section=${filter[$1]%% *} rest=${filter[$1]#* }
	jq -r ".sections.$section.rows[]? | select(${rest% *}) | [${rest##* }] | map(if . == null then \"\" else tostring end) | join(\"\t\")" "$dir/inventory" | sort -u
}
look() { # look WHEN: every truth into a file
	local n
	for n in $order; do
		rm -f "$dir/reason"
		"truth_$n" >"$dir/$n.raw" || [ -s "$dir/reason" ] || echo 'its tool ended with an error' >"$dir/reason"
		[ ! -s "$dir/reason" ] || mv "$dir/reason" "$dir/$n.reason"
		sort -u "$dir/$n.raw" >"$dir/$n.$1"
	done
}

# The truth is looked at before and after: a row of one look alone came or went meanwhile,
# and is neither missing nor extra.
"$agent" inventory --format json >"$dir/inventory" # names the parameters to look at
look before
"$agent" inventory --format json >"$dir/inventory"
look after

failed=0
printf '%-18s %7s %7s %8s %6s %8s  %s\n' section truth agent missing extra equal ''
for n in $order; do
	if [ -s "$dir/$n.reason" ]; then
		printf '%-18s %7s %7s %8s %6s %8s  skipped: %s\n' "$n" - - - - - "$(cat "$dir/$n.reason")"
		continue
	fi
	ours "$n" >"$dir/$n.ours"
	comm -12 "$dir/$n.before" "$dir/$n.after" >"$dir/$n.truth"
	comm -23 "$dir/$n.truth" "$dir/$n.ours" >"$dir/$n.missing"
	sort -u "$dir/$n.before" "$dir/$n.after" | comm -13 - "$dir/$n.ours" >"$dir/$n.extra"
	t=$(wc -l <"$dir/$n.truth") m=$(wc -l <"$dir/$n.missing") x=$(wc -l <"$dir/$n.extra")
	why=$(jq -r ".sections.${filter[$n]%% *} | select(.status != \"ok\" or .reason) | .status + (if .reason then \": \" + .reason else \"\" end)" "$dir/inventory")
	printf '%-18s %7d %7d %8d %6d %8s  %s\n' "$n" "$t" "$(wc -l <"$dir/$n.ours")" "$m" "$x" \
		"$(awk -v t="$t" -v m="$m" 'BEGIN {if (t) printf "%.1f %%", 100 * (t - m) / t; else printf "none"}')" "$why"
	[ "$m" -eq 0 ] || failed=1
	[ -z "$rows" ] || { sed 's/^/    missing  /' "$dir/$n.missing"; sed 's/^/    extra    /' "$dir/$n.extra"; }
done
[ "$peers" = no ] || AGENT=$agent TRUTH=$dir WANTED=$peers installers/peers.sh
exit $failed
