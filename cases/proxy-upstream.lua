-- Clients, a reverse proxy, an upstream server. The proxy has ten ports towards the upstream and gets twenty requests.
-- What becomes of its ports is decided by who closes the connection to the upstream, and whether anybody has to.
case {
	about    = "a reverse proxy and its upstream: TIME_WAIT, collisions and failures, by who closes first",
	claim    = "a proxy needs tcp_tw_recycle, or it runs out of ports",
	truth    = "keep-alive needs no port at all; an upstream that closes first, or more addresses, do as well",
	source   = "R1 R2",
	releases = "3.10 4.9.y 4.11 4.19.y 6.18.y",
}
local clients, proxy, upstream = host "clients", host "proxy", host "upstream"
link(clients, "10.0.0.1", proxy, "10.0.0.254", {untapped = true})
link(proxy, "10.1.0.1", upstream, "10.1.0.2", {untapped = true, delay = 0.001})
proxy:prefix("10.2.0.0/24", {is_local = true, routed = true})
proxy:sysctl("net.ipv4.ip_local_port_range", "32768 32777")

figures("TIME_WAIT at", "client", "proxy", "upstream", "collide", "failed", "opens")
local function show(what, port, users, opened, collisions, failed)
	local here, there = proxy:count("TIME_WAIT", nil, port), upstream:count("TIME_WAIT", port)
	figures(what, users, here, there, collisions, failed, opened)
	return failed, here, there, opened
end

local port = 8000
local function play(what, closes_first, options, every)
	port = port + 1
	local to, front = "10.1.0.2:" .. port, "10.0.0.254:" .. port
	upstream:serve(to, {request = 100, reply = 1000, closes_first = closes_first})
	options.to, options.request, options.reply, options.waits_for_end = to, 100, 1000, closes_first
	options.watches_ports = not options.from
	local pool = proxy:load(options)
	proxy:serve(front, {request = 100, reply = 1000, upstream = pool})
	local users = clients:load{to = front, total = 20, every = every or 0.02, request = 100, reply = 1000}
	eventually(users, "done", true, nil, 5)
	pause(0.2)
	local n, here, there = show(what, port, clients:count("TIME_WAIT", nil, port), pool.established,
		pool.collisions, 20 - users.replies)
	return n, here, there, pool
end

local failed, here, there, pool = play("proxy first", false, {})
expect(failed, 10, "its own TIME_WAIT takes all ports")
expect(here .. " and " .. there, "10 and 0", "TIME_WAIT at the proxy and at the upstream")
expect(pool.collisions, 0, "none meets a TIME_WAIT there")
expect(clients:count("TIME_WAIT", nil, port), 10, "the clients keep theirs of the answered ones, and have ports enough")
failed, here, there, pool = play("upstream first", true, {})
expect(failed, 0, "TIME_WAIT is there; a new SYN takes it over")
expect(here, 0)
expect_between(there, 1, 10, "no more than the proxy has ports")
local overlooked = stage == "kernel" and 5 or 0 -- who looks a millisecond later sees none
expect_between(pool.collisions, 20 - there - overlooked, 20 - there, "all others met one")
apart "which TIME_WAIT is taken over, and how many connections a pool opens, are matters of pace"
if has "tw-recycle" then
	proxy:sysctl("net.ipv4.tcp_tw_recycle", 1)
	expect(play("tw_recycle", false, {}, 0.1), 0, "until 4.11: TIME_WAIT of 0.7 s; what it breaks is nat-tw-recycle")
else
	proxy:cure "fix sysctl net.ipv4.tcp_tw_reuse=1"
	expect(play("tw_reuse", false, {}, 0.15), 0, "a TIME_WAIT older than a second is taken over")
	proxy:undo()
end
local sources = {}
for i = 1, 20 do sources[i] = "10.2.0." .. i end
local NO_PORT <const> = has "bind-address-no-port"
failed, here = play("20 addresses", false, {from = sources, IP_TRANSPARENT = true, IP_BIND_ADDRESS_NO_PORT = NO_PORT})
expect(failed, 0)
expect(here, 20, "twice the ports of one address")
failed, here, there, pool = play("keep-alive", false, {keep_alive = true, idle = 60})
expect(failed, 0)
expect(here + there, 0, "nobody closes, so nobody has TIME_WAIT")
expect_between(pool.opened, 1, 10, "and few connections carry all requests")

if stage == "world" then return end

-- The same with a real nginx as proxy and as upstream, and curl as the clients. Relative names are of its directory;
-- without privileges there is no other user.
local function nginx(host, servers)
	local file, directory = host:file("nginx.conf", [[
		user root root; daemon off; master_process off; pid pid; error_log errors;
		events { worker_connections 256; }
		http {
			access_log off; default_type text/html;
			client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
			]] .. servers .. "}")
	host:spawn("/usr/sbin/nginx", "-p", directory, "-c", file, "-e", "errors")
	eventually(function() return host:count("LISTEN", 80) end, 1, "nginx listens")
end
-- At port 81 the answer has no length (it looks for SSI in it), so its end must be told by a FIN.
nginx(upstream, [[
	server { listen 80; listen 82; location / { return 200 "served\n"; } }
	server { listen 81; ssi on; location / { return 200 "served\n"; } }]])
nginx(proxy, [[
	upstream kept { server 10.1.0.2:82; keepalive 4; }
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	server {
		listen 80;
		location /80 { proxy_pass http://10.1.0.2:80; } # no pool: this proxy closes what the upstream would keep
		location /81 { proxy_pass http://10.1.0.2:81; proxy_http_version 1.0; proxy_set_header Connection close; }
		location /82 { proxy_pass http://kept; }
	}]])

local function real(what, port, requests)
	local before, users, good = proxy.ActiveOpens, clients:count("TIME_WAIT", nil, 80), 0
	local _, got = clients:run("curl", "-q", "-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}\n",
		"http://10.0.0.254/" .. port .. "?[1-" .. requests .. "]")
	for i = 1, #got, 4 do good = good + (got:sub(i, i + 2) == "200" and 1 or 0) end
	pause(0.2)
	users = clients:count("TIME_WAIT", nil, 80) - users
	expect(users, 1, "curl asks all of them over one connection")
	return show("nginx " .. what, port, users, proxy.ActiveOpens - before, "-", requests - good)
end
failed, here = real("proxy first", 80, 20)
expect(failed, 10, "502: connect() finds no port")
expect(here, 10)
failed, here, there = real("upstream first", 81, 20)
expect(failed, 0)
expect(here, 0)
expect_between(there, 1, 10)
local _, opened
failed, here, _, opened = real("keep-alive", 82, 20)
expect(failed, 0)
expect_between(opened, 1, 4, "its pool keeps four")

-- The cure where neither nginx nor the upstream can be changed.
pause(1.1)
expect(real("again", 80, 10), 10, "502: the ten TIME_WAIT are a second old, and in the way")
proxy:cure "fix sysctl net.ipv4.tcp_tw_reuse=1"
expect(real("tw_reuse", 80, 10), 0, "fix sysctl: all ten are taken over")
proxy:undo()
pause(1.1)
expect(real("undone", 80, 10), 10, "undone: as before")
