-- Clients, a reverse proxy, an upstream server. The proxy has 100 ports towards the upstream and gets 20 requests a second.
-- What becomes of its ports is decided by who closes the connection to the upstream, and whether anybody has to.
case {
	about    = "a reverse proxy and its upstream: TIME_WAIT, collisions and failures, by who closes first",
	claim    = "a proxy needs tcp_tw_recycle, or it runs out of ports",
	truth    = "keep-alive needs no port at all; an upstream that closes first, or more addresses, do as well",
	source   = "R1 R2",
	releases = "3.10 4.9.y 4.19.y 6.18.y",
	stages   = "world",
}
local clients, proxy, upstream = host "clients", host "proxy", host "upstream"
link(clients, "10.0.0.1", proxy, "10.0.0.254")
link(proxy, "10.1.0.1", upstream, "10.1.0.2")
proxy:prefix("10.2.0.0/24", {is_local = true, routed = true})

local port = 8000
local function play(what, closes_first, options)
	port = port + 1
	proxy:sysctl("net.ipv4.ip_local_port_range", "32768 32867")
	local to, front = "10.1.0.2:" .. port, "10.0.0.254:" .. port
	upstream:serve(to, {request = 100, reply = 1000, closes_first = closes_first})
	options.to, options.request, options.reply, options.waits_for_end = to, 100, 1000, closes_first
	options.watches_ports = not options.from
	local pool = proxy:load(options)
	proxy:serve(front, {request = 100, reply = 1000, upstream = pool})
	local users = clients:load{to = front, total = 400, every = 0.05, request = 100, reply = 1000}
	pause(21)
	local here = 0
	for _, s in ipairs(proxy:sockets()) do
		here = here + (s.state == "TIME_WAIT" and s.peer_port == port and 1 or 0)
	end
	local failed = 400 - users.replies
	figures(what, pool.established, here, upstream:count("TIME_WAIT", port), pool.collisions, failed)
	pool:stop()
	pause(121)
	return failed, here
end

figures("the proxy", "opened", "TW proxy", "TW upstream", "collide", "failed")
local failed, here = play("proxy closes first", false, {})
expect(failed, 300, "its own TIME_WAIT takes all ports")
expect(here, 100)
failed, here = play("upstream closes first", true, {})
expect(failed, 0, "TIME_WAIT is there; a new SYN takes it over")
expect(here, 0)
expect(play("keep-alive", false, {keep_alive = true, idle = 60}), 0)
local sources = {}
for i = 1, 20 do sources[i] = "10.2.0." .. i end
local NO_PORT <const> = has "bind-address-no-port"
expect(play("20 addresses", false, {from = sources, IP_TRANSPARENT = true, IP_BIND_ADDRESS_NO_PORT = NO_PORT}), 0)
if has "tw-recycle" then
	proxy:sysctl("net.ipv4.tcp_tw_recycle", 1)
	expect(play("tw_recycle", false, {}), 0, "until 4.11: TIME_WAIT of 0.7 s; what it breaks is nat-tw-recycle")
else
	proxy:sysctl("net.ipv4.tcp_tw_reuse", 1)
	expect(play("tw_reuse", false, {}), 0, "what is left for connect(): a TIME_WAIT older than a second is taken over")
end
