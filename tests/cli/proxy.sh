#!/bin/sh
# SPDX-License-Identifier: MIT
#
# proxy.sh - a reverse proxy that runs out of ports: clients, nginx, nginx, each in a namespace of its own
#
# Three ways to the same upstream, at three of its ports, from a proxy that has four ports for connect(). Who closes
# first has TIME_WAIT: the upstream, and nobody is hurt; the proxy, and the fifth request is a 502; kept connections,
# and there is none. tcpwhy is asked in the proxy's namespace, and nginx must then fare as it said.
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh

PATH=$PATH:/usr/sbin:/sbin
for program in nginx:nginx-light python3:python3; do
	if ! command -v "${program%:*}" >/dev/null; then
		tap_skip "a real nginx" "the package ${program#*:} is not installed (tools/setup-debian --optional)"
		tap_done
		exit
	fi
done
tap_private tests/cli/proxy.sh

tap_folder proxy
clean_up()
{
	# shellcheck disable=SC2086 # numbers
	[ -z "$started" ] || wait $started 2>/dev/null || true
	for name in proxy upstream; do
		ip netns del $name 2>/dev/null || true
	done
}

# ------------------------------------------------------------------------------------- the scene

mkdir -p /run/netns
for name in proxy upstream; do
	ip netns add $name
	ip -n $name link set lo up
done
ip link add clients type veth peer name front netns proxy
ip -n proxy link add back type veth peer name eth0 netns upstream
ip addr add 10.1.0.1/24 dev clients
ip link set clients up
ip -n proxy addr add 10.1.0.2/24 dev front
ip -n proxy link set front up
ip -n proxy addr add 10.2.0.1/24 dev back
ip -n proxy link set back up
ip -n upstream addr add 10.2.0.2/24 dev eth0
ip -n upstream link set eth0 up
ip netns exec proxy sysctl -qw net.ipv4.ip_local_port_range="61000 61003"

configure() # NAME: the servers come from the input
{
	cat >"$dir/$1.conf" <<-END
		daemon off;
		master_process off;
		user root;
		pid $dir/$1.pid;
		error_log $dir/$1.log;
		events { worker_connections 256; }
		http {
			access_log off;
			keepalive_requests 10000;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			$(cat)
		}
	END
}

# 8001 does not say how long its answer is (it looks for SSI in it), so who asked with HTTP/1.0 must wait for its FIN.
configure upstream <<'END'
default_type text/html;
server {
	listen 10.2.0.2:8001;
	ssi on;
	location / { return 200 "served\n"; }
}
server {
	listen 10.2.0.2:8002;
	listen 10.2.0.2:8003;
	location / { return 200 "served\n"; }
}
END
configure proxy <<'END'
upstream kept {
	server 10.2.0.2:8003;
	keepalive 4;
}
server {
	listen 10.1.0.2:80;
	# nginx's default: HTTP/1.0 and "Connection: close"
	location /upstream-closes { proxy_pass http://10.2.0.2:8001; }
	# the upstream would keep the connection, but this proxy has no pool to keep it in
	location /proxy-closes {
		proxy_pass http://10.2.0.2:8002;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
	}
	location /kept {
		proxy_pass http://kept;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
	}
}
END
for name in upstream proxy; do
	ip netns exec $name nginx -c "$dir/$name.conf" -e "$dir/$name.log" &
	started="$started $!"
done

# ask N PATH: so many requests, each by a client of its own; prints how many got which status
cat >"$dir/ask.py" <<'END'
import collections, http.client, sys
got = collections.Counter()
for _ in range(int(sys.argv[1])):
    client = http.client.HTTPConnection("10.1.0.2", 80, timeout=20)
    client.request("GET", "/" + sys.argv[2])
    got[client.getresponse().status] += 1
    client.close()
print(*(f"{n} x {status}" for status, n in sorted(got.items())), sep=", ")
END
ask()
{
	python3 "$dir/ask.py" "$@" 2>&1 || true
}

sockets() # NAMESPACE STATE PORT: how many connections with that port of the upstream are in that state
{
	ip netns exec "$1" ss -Htn state "$2" "( sport = :$3 or dport = :$3 )" | wc -l
}

there_are() # N NAMESPACE STATE PORT
{
	[ "$(sockets "$2" "$3" "$4")" = "$1" ]
}

# The answer is with the client before the last FIN is where it goes.
come_to() # TEXT N NAMESPACE STATE PORT
{
	come_text=$1
	shift
	tap_await there_are "$@" || true
	tap_equal "$come_text" "$(sockets "$2" "$3" "$4")" "$1"
}

served()
{
	[ "$(ask 1 "$1")" = "1 x 200" ]
}
tap_await served kept || true
tap_equal "proxy and upstream serve" "$(ask 1 kept)" "1 x 200"

# -------------------------------------------------------------------------- the upstream closes first

tap_equal "the upstream closes first: sixteen requests over four ports" "$(ask 16 upstream-closes)" "16 x 200"
tap_equal "the proxy has no TIME_WAIT of it" "$(sockets proxy time-wait 8001)" 0
n=$(sockets upstream time-wait 8001)
tap_equal "the upstream has, at most one for each port" "$([ "$n" -ge 1 ] && [ "$n" -le 4 ] && echo yes)" yes
tap_status "tcpwhy connect: a port is there" 0 "$TCPWHY" connect 10.2.0.2:8001 --netns proxy

# ---------------------------------------------------------------------------------- kept connections

tap_equal "kept connections: sixteen requests" "$(ask 16 kept)" "16 x 200"
tap_equal "one connection was enough" "$(sockets proxy established 8003)" 1
tap_equal "no TIME_WAIT at the proxy" "$(sockets proxy time-wait 8003)" 0
tap_equal "nor at the upstream" "$(sockets upstream time-wait 8003)" 0

# ----------------------------------------------------------------------------- the proxy closes first

tap_status "before, nothing is wrong in its namespace" 0 "$TCPWHY" --netns proxy
tap_equal "the proxy closes first: four requests, four ports" "$(ask 4 proxy-closes)" "4 x 200"
come_to "they are in TIME_WAIT at the proxy" 4 proxy time-wait 8002
tap_equal "not at the upstream" "$(sockets upstream time-wait 8002)" 0
tap_status "tcpwhy connect: there is none for the fifth" 1 "$TCPWHY" connect 10.2.0.2:8002 --netns proxy
tap_has "by its name" 'EADDRNOTAVAIL'
tap_has "for TIME_WAIT" 'TIME_WAIT'
tap_has "and its cure" 'tcp_tw_reuse'
tap_status "tcpwhy in that namespace" 1 "$TCPWHY" --netns proxy
tap_has "names the destination" '^BAD.*10\.2\.0\.2:8002'
tap_equal "the fifth request" "$(ask 1 proxy-closes)" "1 x 502"
tap_equal "in nginx's words" "$(grep -c 'connect() to 10\.2\.0\.2:8002 failed (99: ' "$dir/proxy.log")" 1
tap_status "which tcpwhy log understands" 1 "$TCPWHY" log "$dir/proxy.log" --netns proxy
tap_has "as that connect()" '10\.2\.0\.2:8002'
tap_equal "the other ways are open" "$(ask 1 upstream-closes) $(ask 1 kept)" "1 x 200 1 x 200"

# ----------------------------------------------------------------------------------------- the cures

ip netns exec proxy sysctl -qw net.ipv4.tcp_tw_reuse=1
# Whether a TIME_WAIT had timestamps is told by the bind hash alone, so without privilege nginx is waited for instead.
if [ "$TAP_ROOT" = 1 ]; then
	certain=0
	tap_await "$TCPWHY" connect 10.2.0.2:8002 --netns proxy || true
else
	certain=3
	tap_await served proxy-closes || true
fi
tap_status "tcp_tw_reuse=1: tcpwhy connect has a port" $certain "$TCPWHY" connect 10.2.0.2:8002 --netns proxy
tap_equal "and so has nginx" "$(ask 1 proxy-closes)" "1 x 200"
ip netns exec proxy sysctl -qw net.ipv4.tcp_tw_reuse=0
tap_equal "without it, as before" "$(ask 1 proxy-closes)" "1 x 502"
tap_equal "kept connections need none of it" "$(ask 16 kept)" "16 x 200"

tap_done
