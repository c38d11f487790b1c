#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fix_yaml.sh - tcpwhy fix yaml: a YAML parser reads what is printed, and the init container's command is
# executed word for word in a namespace
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/fix_yaml.sh

tap_folder yaml

yaml()
{
	"$TCPWHY" fix yaml "$@"
}

# What a YAML parser makes of the last output, as one line of JSON.
parsed() # TEXT WANTED
{
	if ! python3 -c 'import yaml' 2>/dev/null; then
		tap_skip "$1" "there is no python3-yaml; tests/unit/manifest_test.c has a reader of its own"
		return
	fi
	got=$(echo "$out" | python3 -c '
import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin), sort_keys=True))')
	tap_equal "$1" "$got" "$2"
}

# ---------------------------------------------------------------------------------------- the pod's sysctls

tap_status "safe ones are printed" 0 yaml sysctl --kube 1.29 'ip_local_port_range=32768	60999' tcp_fin_timeout=20
parsed "as the pod's securityContext" '{"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "32768 60999"}, {"name": "net.ipv4.tcp_fin_timeout", "value": "20"}]}}}'
tap_has "and say which kernel they need" "tcp_fin_timeout.*4\.6 or later"

tap_status "for a Deployment" 0 yaml sysctl --template --kube v1.29.4-gke.1 tcp_syncookies=1
parsed "as a patch" '{"spec": {"template": {"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}}}}'

tap_status "the version before does not let pods set it" 1 yaml sysctl --kube 1.28 tcp_fin_timeout=20
tap_has "says so" "1\.28 refuses net\.ipv4\.tcp_fin_timeout"
tap_has "names the kubelet's option" "--allowed-unsafe-sysctls=net\.ipv4\.tcp_fin_timeout"
tap_has "and the init container" "tcpwhy fix yaml init-container --kube 1\.28 net\.ipv4\.tcp_fin_timeout=20$"
tap_has "and CNI" "tcpwhy fix yaml cni-tuning net\.ipv4\.tcp_fin_timeout=20$"
yaml sysctl --kube 1.28 tcp_fin_timeout=20 >"$dir/stdout" 2>/dev/null || true
tap_equal "nothing of it on stdout, which may be a pipe to kubectl" "$(wc -c <"$dir/stdout")" 0

tap_status "--unsafe prints it" 0 yaml sysctl --unsafe --kube 1.32 tcp_tw_reuse=1 ip_local_port_range="20000 30000"
tap_has "and what each node needs" "^# Refused by Kubernetes 1\.32.*--allowed-unsafe-sysctls=net\.ipv4\.tcp_tw_reuse$"
parsed "as YAML all the same" '{"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_tw_reuse", "value": "1"}, {"name": "net.ipv4.ip_local_port_range", "value": "20000 30000"}]}}}'

# Every command that a refusal prints works.
yaml sysctl --kube 1.29 tcp_tw_reuse=1 "ip_local_port_range=20000 30001" 2>&1 | sed -n 's/.*: tcpwhy //p' >"$dir/ways"
tap_equal "three ways" "$(wc -l <"$dir/ways")" 3
while read -r way; do
	tap_status "works: $way" 0 sh -c "'$TCPWHY' $way"
done <"$dir/ways"

# --------------------------------------------------------------------------------------- the init container

tap_status "an init container" 0 yaml init-container --kube 1.29 --image registry:5000/sh tcp_tw_reuse=1 ip_local_port_range="20000 30001"
parsed "privileged and uid 0, and nothing else" '{"spec": {"initContainers": [{"command": ["sh", "-c", "sysctl -w net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range='"'20000 30001'"'"], "image": "registry:5000/sh", "name": "tcpwhy-sysctl", "securityContext": {"privileged": true, "runAsNonRoot": false, "runAsUser": 0}}]}}'

# The argv that a lab takes out of the JSON, executed as it is.
execute_argv='
import json, os, sys
argv = json.load(open(sys.argv[1]))["argv"]
os.execvp(argv[0], argv)'
yaml init-container --kube 1.29 --json tcp_tw_reuse=1 ip_local_port_range="20000 30001" >"$dir/json"
if ! command -v python3 >/dev/null; then
	tap_skip "its argv runs" "there is no python3"
else
	tap_equal "the range before" "$(cat /proc/sys/net/ipv4/ip_local_port_range)" "32768	60999"
	tap_status "its argv runs" 0 python3 -c "$execute_argv" "$dir/json"
	tap_equal "and sets the range" "$(cat /proc/sys/net/ipv4/ip_local_port_range)" "20000	30001"
	tap_equal "and the other" "$(cat /proc/sys/net/ipv4/tcp_tw_reuse)" 1
fi
if command -v busybox >/dev/null; then
	words=$(yaml init-container --kube 1.29 ip_local_port_range="21000 31001" somaxconn=77 |
		sed -n 's/.*"sh", "-c", "\(.*\)"\]/\1/p')
	tap_status "as the image's busybox runs it" 0 busybox sh -c "busybox $words"
	tap_equal "it sets the range" "$(cat /proc/sys/net/ipv4/ip_local_port_range)" "21000	31001"
	tap_equal "and the second" "$(cat /proc/sys/net/core/somaxconn)" 77
else
	tap_skip "as the image's busybox runs it" "there is no busybox"
fi

tap_status "no privilege where none is needed" 1 yaml init-container --kube 1.29 tcp_fin_timeout=20
tap_has "but the pod's own sysctls" "tcpwhy fix yaml sysctl --kube 1\.29 net\.ipv4\.tcp_fin_timeout=20"
tap_status "unless it is wanted" 0 yaml init-container --unsafe --kube 1.29 tcp_fin_timeout=20
tap_status "the version before needs it" 0 yaml init-container --kube 1.28 tcp_fin_timeout=20

# ------------------------------------------------------------------------------------------------------ CNI

tap_status "the CNI plugin" 0 yaml cni-tuning somaxconn=1024 ip_local_port_range="20000 30001"
tap_has "where it belongs" '"plugins" of the network'
yaml cni-tuning somaxconn=1024 ip_local_port_range="20000 30001" 2>/dev/null >"$dir/cni"
if command -v python3 >/dev/null; then
	tap_equal "is JSON" "$(python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))' "$dir/cni")" \
		'{"type": "tuning", "sysctl": {"net.core.somaxconn": "1024", "net.ipv4.ip_local_port_range": "20000 30001"}}'
else
	tap_skip "is JSON" "there is no python3"
fi

# ------------------------------------------------------------ two that the kernel holds against each other

said() # TEXT PATTERN: refused with it, and nothing on stdout
{
	tap_has "$1" "$2"
	tap_equal "nothing but words" "$(echo "$out" | grep -Ec '^(spec:|\{)')" 0
}
for kind in sysctl init-container cni-tuning; do
	tap_status "$kind: a range below a new pod's unprivileged ports" 1 yaml $kind --kube 1.20 --unsafe \
		"ip_local_port_range=1 65535"
	said "says why" 'ip_unprivileged_port_start, which is 1024 there unless it is set too'
	tap_has "and what works" 'init-container --kube 1.20 net.ipv4.ip_unprivileged_port_start=1 net.ipv4.ip_local_port_range='
	tap_status "$kind: unprivileged ports above its range" 1 yaml $kind --kube 1.20 --unsafe ip_unprivileged_port_start=40000
	said "says why" 'ip_local_port_range, which is 32768 60999 there unless it is set too'
	tap_status "$kind: the two contradict each other" 1 yaml $kind --kube 1.20 --unsafe \
		ip_unprivileged_port_start=3000 "ip_local_port_range=2000 65535"
	said "says why" 'no order of these works'
	tap_status "$kind: what holds in either order" 0 yaml $kind --kube 1.32 --unsafe \
		"ip_local_port_range=2000 65535" ip_unprivileged_port_start=80
done
for kind in sysctl cni-tuning; do
	tap_status "$kind keeps no order" 1 yaml $kind --kube 1.32 ip_unprivileged_port_start=1 "ip_local_port_range=1 65535"
	said "says so" 'net.ipv4.ip_unprivileged_port_start has to be set before net.ipv4.ip_local_port_range'
done
run yaml sysctl --kube 1.32 "ip_local_port_range=1 65535"
way=$(echo "$out" | sed -n 's/.*: tcpwhy //p')
tap_status "what is named instead is printed" 0 sh -c "'$TCPWHY' $way"
# In a fresh namespace, as a pod has it: the command word for word, from either order of the words.
for pair in 'ip_unprivileged_port_start=1|ip_local_port_range=1 65535' \
	'ip_local_port_range=1 65535|ip_unprivileged_port_start=1' \
	'ip_unprivileged_port_start=40000|ip_local_port_range=40000 65535' \
	'ip_local_port_range=40000 65535|ip_unprivileged_port_start=40000'; do
	words=$(yaml init-container --kube 1.32 "${pair%|*}" "${pair#*|}" | sed -n 's/.*"sh", "-c", "\(.*\)"\]/\1/p')
	tap_status "runs: $words" 0 unshare -n sh -c "$words"
done

# --------------------------------------------------------------------------------------------- what is wrong

for kind in sysctl init-container cni-tuning; do
	tap_status "$kind of the machine's is refused" 1 yaml $kind --kube 1.29 tcp_max_orphans=9
	tap_has "says why" "tcp_max_orphans is the machine's: no pod has one of its own"
done

for kind in sysctl init-container cni-tuning; do
	tap_status "$kind with hostNetwork is refused" 1 yaml $kind --kube 1.29 --host-network --unsafe ip_local_port_range="1 9"
	tap_has "says why" "no network namespace of its own"
	tap_has "and what would do it" "tcpwhy fix sysctl net.ipv4.ip_local_port_range='1 9'"
done
tap_status "as JSON" 1 yaml sysctl --json --kube 1.29 tcp_tw_reuse=1
tap_has "refused" '"answer": "refused"'
tap_has "without YAML" '"yaml": null'
tap_has "and with what can be done instead" '"privileged, for this pod: tcpwhy fix yaml init-container'

wrong() # PATTERN ARGS...
{
	pattern=$1
	shift
	tap_status "usage: $*" 2 yaml "$@"
	tap_has "says: $pattern" "$pattern"
}
wrong "sysctl, init-container or cni-tuning"
wrong "sysctl, init-container or cni-tuning" deployment tcp_tw_reuse=1
wrong "which version of Kubernetes" sysctl tcp_tw_reuse=1
wrong "not a version of Kubernetes" sysctl --kube 129 tcp_tw_reuse=1
wrong "not a version of Kubernetes" init-container --kube 2.1 tcp_tw_reuse=1
wrong "before 1\.11" sysctl --kube 1.10 tcp_syncookies=1
wrong "before 1\.6" init-container --kube 1.5 tcp_syncookies=1
wrong "which sysctl" sysctl --kube 1.29
wrong "not KEY=VALUE" sysctl --kube 1.29 tcp_tw_reuse
wrong "did you mean net\.ipv4\.tcp_tw_reuse" sysctl --kube 1.29 tcp_tw_resue=1
wrong "0 to 2" sysctl --kube 1.29 tcp_tw_reuse=3
wrong "first port is above the second" cni-tuning "ip_local_port_range=9 1"
wrong "twice" cni-tuning tcp_tw_reuse=1 net.ipv4.tcp_tw_reuse=0
wrong "what a new pod has already" cni-tuning ip_local_reserved_ports=
wrong "image" init-container --kube 1.29 --image 'a b' tcp_tw_reuse=1
wrong "no such option" cni-tuning --netns blue tcp_tw_reuse=1

tap_done
