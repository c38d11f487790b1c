-- A user-space stack draws its source ports at random; the server closes first and keeps each in TIME_WAIT for 60 s. A port
-- that was just used is drawn again, and the SYN meets its own past. How often is up to the picker, what it costs is not.
case {
	about    = "source ports that come back within 60 s meet the server's TIME_WAIT",
	claim    = "random ports make user connections fail, sequential ones do not",
	truth    = "a newer SYN is taken; an older one costs a round, until 5.6 a second, with tcp_rfc1337=1 more. Sequential "
		.. "meets TIME_WAIT, too, once rate x 60 s exceeds the ports",
	source   = "R1",
	releases = "3.10 4.9.0 4.19.y 5.10.y 6.18.y",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2", {delay = 0.0005})
-- Where connect() chooses: this kernel, and in the model two machines beside the client.
local kernels = {["this kernel"] = {host = client, to = "10.0.0.2"}}
if stage == "world" then
	kernels = {["Linux 3.10"] = {host = host("old", {release = "3.10"}), to = "10.0.1.2"},
		["Linux 6.18"] = {host = host("new", {release = "6.18.y"}), to = "10.0.2.2"}}
	link(kernels["Linux 3.10"].host, "10.0.1.1", server, "10.0.1.2", {delay = 0.0005, untapped = true})
	link(kernels["Linux 6.18"].host, "10.0.2.1", server, "10.0.2.2", {delay = 0.0005, untapped = true})
end
local listener = server:listen("10.0.0.2:80", 4096, {SO_REUSEADDR = true})

-- A port comes back. Stale: the stack's timestamps are behind those it used before, as the last ACK had a later one.
local function comes_back(port, stale)
	local function from_port()
		local there = client:socket{SO_REUSEADDR = true}
		there:bind("10.0.0.1:" .. port)
		return there
	end
	local there = from_port()
	there:connect("10.0.0.2:80")
	local here = listener:accept()
	here:close()
	there:recv()
	there:close()
	eventually(function() return server:count("TIME_WAIT", 80) end, 1)
	pause(0.01)
	local ack = wire:last(client, "FIN")
	ack.flags, ack.seq, ack.tsval = "ACK", ack.seq + 1, ack.tsval + (stale and 1000000 or 0)
	wire:inject(client, ack)
	pause(0.01)
	local begun, syns, resets = now(), wire:count(client, "SYN"), wire:count(client, "RST")
	local result = from_port():try_connect("10.0.0.2:80", 2.5)
	local took = now() - begun
	if result == "ok" then listener:accept() end
	return result, took, wire:count(client, "SYN") - syns, wire:count(client, "RST") - resets
end
local result, newer, syns, resets = comes_back(4999, false)
expect(result, "ok", "a newer timestamp: TIME_WAIT is taken over")
expect(syns - resets, 1, "by the first SYN")
local older
result, older, syns, resets = comes_back(5000, true)
expect(result, "ok", "an older one: ACK, RST, TIME_WAIT is gone, and the SYN comes again")
expect(syns .. " SYN, " .. resets .. " RST", "2 SYN, 1 RST")
if has "syn-again-at-once" then
	expect_between(older, 0.009, stage == "world" and 0.011 or 0.1, "two rounds, and a timer of two ticks: 10 ms")
else
	expect_between(older, 1, 1.1, "until 5.6 only after a second: a slow connection, no failed one")
end
server:sysctl("net.ipv4.tcp_rfc1337", 1)
expect(comes_back(5001, true), "EINPROGRESS", "tcp_rfc1337=1: the RST is ignored, and after 2.5 s there is no connection")
expect(server:count("TIME_WAIT", 80, 5001), 1, "TIME_WAIT outlives it")
server:sysctl("net.ipv4.tcp_rfc1337", 0)

-- 100 ports and a minute, so nothing leaves TIME_WAIT; on the kernel it is pressed into a second. With one destination,
-- and no port held when the next is drawn, algorithms 1 and 2 of RFC 6056 are one, uniform; 3 and 4 are sequential, from
-- a start that cannot be guessed. The last rows are connect() itself. All these SYNs are newer than the TIME_WAIT that
-- they meet, and taken at once; what an older one costs say the first rows.
apart "ports are drawn, and the pickers run at once"
local MINUTE <const> = stage == "world" and 60 or 1
local pickers = {"uniform", "sequential", "rfc6056-1", "rfc6056-2", "rfc6056-3", "rfc6056-4", "rfc6056-5"}
local is = {["rfc6056-1"] = "uniform", ["rfc6056-2"] = "uniform",
	["rfc6056-3"] = "sequential", ["rfc6056-4"] = "sequential"}
client:sysctl("net.ipv4.ip_local_port_range", "32768 32867")
for name, there in pairs(kernels) do
	there.host:sysctl("net.ipv4.ip_local_port_range", "32768 32867")
	table.insert(pickers, name)
end
figures("picker", "in a minute", "collide, %", "soonest, s", "mean, s", "connect, s")
figures("a newer SYN", 1, 100, "-", "-", newer)
figures("an older SYN", 1, 100, "-", "-", older)
local port, share = 8000, {}
for _, total in ipairs{30, 150} do
	local loads, latest = {}, now() + 2 * MINUTE + 20
	for _, picker in ipairs(pickers) do
		local itself = kernels[picker]
		port = port + 1
		local to = (itself and itself.to or "10.0.0.2") .. ":" .. port
		server:serve(to, {request = 100, reply = 100, closes_first = true})
		loads[picker] = (itself and itself.host or client):load{to = to, total = total, every = MINUTE / total, request = 100,
			reply = 100, waits_for_end = true, watches_ports = true, picker = itself and "kernel" or picker, low = 32768, high = 32867}
	end
	for _, picker in ipairs(pickers) do
		local load = loads[picker]
		while not load.done and now() < latest do pause(MINUTE / 20) end
		expect(load.done, true, picker .. ": " .. total .. " connections, all of them over")
		local back, scale = load.returns > 0, 60 / MINUTE
		share[picker .. total] = load.collisions / load.opened
		figures(picker .. (is[picker] and " = " .. is[picker] or ""), total, load.collisions / load.opened * 100,
			back and load.soonest_return * scale or "-", back and load.mean_return * scale or "-", load.longest)
	end
end
expect_between(share.uniform30, 0.02, 0.4, "a few of 30")
expect_between(share["rfc6056-2" .. 30], 0.02, 0.4, "which is algorithm 2")
expect(share.sequential30, 0)
if stage == "world" then
	for picker, other in pairs(is) do
		expect(share[picker .. 30], share[other .. 30], picker .. " is " .. other)
		expect(share[picker .. 150], share[other .. 150])
	end
end
expect(share["rfc6056-3" .. 30], 0, "a counter from a hashed start does as well, and cannot be guessed")
expect_between(share.sequential150, 0.25, 0.45, "150 connections in 60 s: each port comes back after 40 s")
for name in pairs(kernels) do expect(share[name .. 150] > 0.25, true, name .. ", too") end
if stage == "world" then expect(share["Linux 3.10" .. 30], 0, "3.10 counts; 6.18 steps at random, and meets some of 30") end
