-- Four hops of a request, and who closes first on each: there is TIME_WAIT. It can exhaust something only where it stands
-- with the client of few destinations; at a server it costs memory, a tenth of a socket.
case {
	about  = "where TIME_WAIT collects, hop by hop, and whether it can exhaust anything",
	claim  = "TIME_WAIT on the web server uses up its ports",
	truth  = "it stands with who closes first; it uses up ports only at a client, towards one destination",
	source = "R2",
}
local hops = {
	{host "public", host "edge", "public to edge"}, {nil, host "web", "edge to web"},
	{nil, host "backend", "web to backend"}, {nil, host "db", "backend to database"},
}
for i, hop in ipairs(hops) do
	hop[1] = hop[1] or hops[i - 1][2]
	link(hop[1], "10.0." .. i .. ".1", hop[2], "10.0." .. i .. ".2", {untapped = true})
end

-- 20 connections in a fifth of a second, by a client that has ten ports.
figures("hop", "closes first", "at client", "at server", "refused")
local port = 8000
for i, hop in ipairs(hops) do
	local client, server = hop[1], hop[2]
	client:sysctl("net.ipv4.ip_local_port_range", "32768 32777")
	for _, server_first in ipairs{false, true} do
		port = port + 1
		local to = "10.0." .. i .. ".2:" .. port
		server:serve(to, {request = 100, reply = 1000, closes_first = server_first})
		local load = client:load{to = to, total = 20, every = 0.01, request = 100, reply = 1000, waits_for_end = server_first}
		eventually(load, "done", true)
		local function at_client() return client:count("TIME_WAIT", nil, port) end
		eventually(at_client, server_first and 0 or 10)
		local there = server:count("TIME_WAIT", port)
		figures(hop[3], server_first and "server" or "client", at_client(), there, load.EADDRNOTAVAIL)
		expect_between(there, server_first and 1 or 0, server_first and 10 or 0,
			"a port that comes again takes its TIME_WAIT over: never more than the client has ports")
		expect(load.EADDRNOTAVAIL, server_first and 0 or 10)
	end
end

-- What one costs: the sizes of the kernel's objects, which only root may read. Stated for the model (6.18).
apart "sizes are the machine's"
local bytes = {tw_sock_TCP = 256, TCP = 2368}
if stage == "kernel" then
	local status, slabs = hops[1][1]:run("cat", "/proc/slabinfo")
	if status ~= 0 then return end
	for name in pairs(bytes) do
		local at = slabs:find("\n" .. name .. " ")
		bytes[name] = tonumber((select(4, words(slabs:sub(at + 1, slabs:find("\n", at + 1) - 1)))))
	end
	expect_between(bytes.tw_sock_TCP / bytes.TCP, 0.01, 0.2, "a TIME_WAIT is smaller than a fifth of a socket")
end
figures("bytes of", "a TIME_WAIT", "a socket")
figures(stage == "kernel" and "this machine" or "Linux 6.18", bytes.tw_sock_TCP, bytes.TCP)
