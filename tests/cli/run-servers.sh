#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run-servers.sh - servers as they are installed start under tcpwhy run, serve, and restart over their own TIME_WAIT
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
WRAP=${WRAP:-$(dirname "$TCPWHY")/tests/wrap}
. tests/cli/lib/tap.sh
PATH=$PATH:/usr/sbin:/sbin
tap_private tests/cli/run-servers.sh

tap_folder servers
pid= status=0 out=
clean_up()
{
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
}
chmod 755 "$dir"
cp "$TCPWHY" "$WRAP/binder" "$dir"
REQUESTS=20

listens() # PORT
{
	[ -n "$(ss -Htln "sport = :$1")" ]
}

# Who listens, which for a daemon is not who was started.
owner() # PORT
{
	ss -Htlnp "sport = :$1" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1
}

ended() # PID
{
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# Started, loaded, ended, all over, twice. $2 is the port; $3 what to say to it; $4 a pattern of its answer.
restarts() # NAME PORT SAY ANSWER CMD...
{
	name=$1 port=$2 say=$3 answer=$4
	shift 4
	for start in first second; do
		"$@" >"$dir/out" 2>&1 </dev/null &
		pid=$!
		if ! tap_await listens "$port"; then
			status=- out=$(cat "$dir/out")
			tap_point 0 "$name: the $start start"
			return
		fi
		tap_point 1 "$name: the $start start"
		right=0
		for i in $(seq "$REQUESTS"); do
			! printf "$say" | timeout 10 "$dir/binder" talk "$port" | grep -aq "$answer" || right=$((right + 1))
		done
		tap_equal "$name: $REQUESTS clients are served" "$right" "$REQUESTS"
		pid=$(owner "$port")
		kill "$pid"
		tap_await ended "$pid" || true
		[ "$start" = second ] || tap_equal "$name: its TIME_WAIT holds the port" \
			"$([ -n "$(ss -Htan state time-wait "sport = :$port")" ] && echo yes)" yes
	done
	pid=
}

# For servers that do not set the option themselves: without run the next start fails.
refused_bare() # NAME CMD...
{
	name=$1
	shift
	run timeout 20 "$@"
	tap_has "$name: bare, the next start is refused" '[Aa]ddress already in use'
}

under() # CMD...
{
	"$dir/tcpwhy" run --reuseaddr -- "$@"
}

# ---- nginx, which makes a daemon of itself
if command -v nginx >/dev/null; then
	cat >"$dir/nginx.conf" <<-END
		error_log $dir/error.log;
		pid $dir/nginx.pid;
		user root;
		worker_processes 2;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 127.0.0.1:8001;
				location / { return 200 hello; }
			}
		}
	END
	restarts nginx 8001 'GET / HTTP/1.0\r\n\r\n' hello under nginx -c "$dir/nginx.conf" -e "$dir/error.log"
else
	tap_skip nginx "the package nginx-light is not installed"
fi

# ---- Redis, as a daemon
if command -v redis-server >/dev/null; then
	restarts redis 8002 'SET key value\r\nGET key\r\nQUIT\r\n' value under redis-server --bind 127.0.0.1 --port 8002 \
		--daemonize yes --save '' --dir "$dir" --pidfile "$dir/redis.pid"
else
	tap_skip redis "the package redis-server is not installed"
fi

# ---- PostgreSQL, which does not run as root
pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
sql()
{
	psql -X -h 127.0.0.1 -p 8003 -U postgres -Atc "$1" postgres
}
postgres_start()
{
	$nobody "$dir/tcpwhy" run --reuseaddr -- "$pg/postgres" -D "$dir/pg" -p 8003 -h 127.0.0.1 \
		-k "" -c fsync=off >"$dir/pg.log" 2>&1 &
	pid=$!
	tap_await sql 'select 1'
}
if [ -z "$pg" ] || ! command -v psql >/dev/null; then
	tap_skip postgresql "the package postgresql is not installed"
elif ! $nobody true 2>/dev/null; then
	tap_skip postgresql "PostgreSQL needs a user who is not root, and none can be taken on here"
else
	mkdir "$dir/pg"
	chown 65534:65534 "$dir/pg"
	run $nobody "$pg/initdb" -D "$dir/pg" -U postgres -A trust --no-sync --no-instructions
	for start in first second; do
		postgres_start || true
		tap_equal "postgresql: the $start start" "$(sql 'select 6*7')" 42
		for i in 1 2 3 4 5; do
			# The server closes first.
			sql 'select pg_terminate_backend(pg_backend_pid())' >/dev/null 2>&1 || true
		done
		kill "$pid"
		wait "$pid" || true
		pid=
		[ "$start" = second ] || tap_equal "postgresql: its TIME_WAIT holds the port" \
			"$([ -n "$(ss -Htan state time-wait 'sport = :8003')" ] && echo yes)" yes
	done
fi

# ---- Go and Java: servers that really lack the option
if command -v go >/dev/null; then
	GOCACHE=${GOCACHE:-$dir/go} GOFLAGS=-mod=mod HOME=${HOME:-$dir}
	export GOCACHE GOFLAGS HOME
	run go build -o "$dir/go-server" tests/wrap/servers/server.go
	tap_equal "go: it is compiled" "$status" 0
	restarts go 8004 '' hello under "$dir/go-server" 127.0.0.1:8004
	refused_bare go "$dir/go-server" 127.0.0.1:8004
else
	tap_skip go "the package golang-go is not installed"
fi
if command -v javac >/dev/null && command -v java >/dev/null; then
	run javac -d "$dir" tests/wrap/servers/Server.java
	tap_equal "java: it is compiled" "$status" 0
	restarts java 8005 '' hello under java -Xmx64m -cp "$dir" Server 8005
	refused_bare java java -Xmx64m -cp "$dir" Server 8005
else
	tap_skip java "the package default-jdk-headless is not installed"
fi

tap_done
