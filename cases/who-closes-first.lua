-- Four hops of a request, and who closes first on each: there is TIME_WAIT. It can exhaust something only where it stands
-- with the client of few destinations; at a server it costs memory (256 bytes each on 6.18, a socket 2,368).
case {
	about    = "where TIME_WAIT collects, hop by hop, and whether it can exhaust anything",
	claim    = "TIME_WAIT on the web server uses up its ports",
	truth    = "it stands with who closes first; it uses up ports only at a client, towards one destination",
	source   = "R2",
	stages   = "world",
}
local public, edge, web, backend, db = host "public", host "edge", host "web", host "backend", host "db"
local hops = {
	{"public to edge", public, edge, 1}, {"edge to web", edge, web, 2},
	{"web to backend", web, backend, 3}, {"backend to database", backend, db, 4},
}
for _, hop in ipairs(hops) do
	link(hop[2], "10.0." .. hop[4] .. ".1", hop[3], "10.0." .. hop[4] .. ".2", {untapped = true})
end

-- 20 connections a second for 10 s, by a client that has 100 ports.
figures("hop", "closes first", "at client", "at server", "refused")
local port = 8000
for _, hop in ipairs(hops) do
	local name, client, server = hop[1], hop[2], hop[3]
	client:sysctl("net.ipv4.ip_local_port_range", "32768 32867")
	for _, server_first in ipairs{false, true} do
		port = port + 1
		local to = "10.0." .. hop[4] .. ".2:" .. port
		server:serve(to, {request = 100, reply = 1000, closes_first = server_first})
		local load = client:load{to = to, total = 200, every = 0.05, request = 100, reply = 1000, waits_for_end = server_first}
		local before = client.TIME_WAIT
		pause(11)
		local here, there = client.TIME_WAIT - before, server:count("TIME_WAIT", port)
		figures(name, server_first and "server" or "client", here, there, load.EADDRNOTAVAIL)
		expect(here, server_first and 0 or 100)
		expect_between(there, server_first and 49 or 0, server_first and 100 or 0,
			"a port that comes again takes its TIME_WAIT over: never more than the client has ports")
		expect(load.EADDRNOTAVAIL, server_first and 0 or 100)
		pause(61)
	end
end
