-- A client picks its address with bind() before connect(). Port 0 there means "choose now", when the destination is not
-- known yet: the port is then taken for all of them. IP_BIND_ADDRESS_NO_PORT leaves the choice to connect().
case {
	about  = "ten ports, twenty destinations: how many connections from one address?",
	claim  = "bind() to an address with port 0 costs nothing",
	truth  = "it takes the port for every destination: 10 connections; with IP_BIND_ADDRESS_NO_PORT (4.2) 200",
	source = "R4",
}
local addresses = {}
for i = 1, 20 do addresses[i] = "10.0.1." .. i end
local client, server = pair("client 10.0.0.1", "server " .. table.concat(addresses, " "))
client:sysctl("net.ipv4.ip_local_port_range", "40000 40009")
local listener = server:listen("0.0.0.0:80")

-- Ten rounds over all destinations; how many connected, and what stopped the others, in which call.
local function fill(options)
	local open, why = {}, "nothing"
	for i = 0, 199 do
		local s = client:socket(options)
		local call, result = "bind()", s:try_bind("10.0.0.1:0")
		if result == "ok" then call, result = "connect()", s:try_connect(addresses[i % 20 + 1] .. ":80") end
		if result ~= "ok" then
			why = call .. ": " .. result
			break
		end
		listener:accept()
		table.insert(open, s)
	end
	return open, why
end

local open, why = fill()
expect(#open, 10, "bind() first: one connection for each port, wherever it goes")
expect(why, "bind(): EADDRINUSE", "and bind() says it, not connect()")
expect(client:socket():try_connect("10.0.1.1:80"), "EADDRNOTAVAIL", "nor does connect() without bind() find a port now")
for _, s in ipairs(open) do
	s:set("SO_LINGER0", true)
	s:close()
end

if has "bind-address-no-port" then
	open, why = fill {IP_BIND_ADDRESS_NO_PORT = true}
	expect(#open, 200, "IP_BIND_ADDRESS_NO_PORT: each port once for each destination")
	expect(why, "nothing")
	expect(open[1].here:find("10.0.0.1:"), 1, "from the address that was asked for")
	local more = client:socket{IP_BIND_ADDRESS_NO_PORT = true}
	expect(more:try_bind("10.0.0.1:0"), "ok", "bind() chooses no port, so it cannot lack one")
	expect(more:try_connect("10.0.1.1:80"), "EADDRNOTAVAIL", "connect() can")
end

-- The cure for a program that does it: sock -l, to two ports and three destinations. It closes first, and ends.
apart "real programs"
if stage ~= "kernel" then return end
local function connect(how, to)
	local _, shown = client:run(words(how .. "tcpwhy sock -l 10.0.0.1 " .. to .. " 80"))
	if shown:find "bind(10.0.0.1:0) = -1 EADDRINUSE" then return "bind(): EADDRINUSE" end
	local here = listener:accept()
	here:recv()
	here:close()
	return "ok"
end
client:sysctl("net.ipv4.ip_local_port_range", "41000 41001")
for i = 1, 2 do expect(connect("", "10.0.1." .. i), "ok") end
expect(connect("", "10.0.1.3"), "bind(): EADDRINUSE", "two ports are two connections, wherever they go")
client:sysctl("net.ipv4.ip_local_port_range", "42000 42001")
for i = 0, 5 do
	expect(connect("tcpwhy run --bind-address-no-port -- ", "10.0.1." .. i % 3 + 1), "ok", "with run, six")
end
expect(connect("", "10.0.1.4"), "bind(): EADDRINUSE", "without run: as before")
