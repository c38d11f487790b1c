-- A proxy with IP_TRANSPARENT connects from addresses that are its clients', not its own: each source address has all
-- ports anew. The answers must come back to it, and it must take them for its own: two routes.
case {
	about  = "a range of two ports, twenty source addresses: forty connections to one destination",
	claim  = "many source addresses make many connections",
	truth  = "so it is, if bind() leaves the port to connect(), and both routes are there",
	source = "R1",
}
local proxy, server, wire = pair("proxy 10.0.0.1", "server 10.0.0.2 10.0.0.3")
proxy:prefix("10.1.0.0/24", {is_local = true, routed = true})
proxy:prefix("10.2.0.0/24", {is_local = false, routed = true})
proxy:prefix("10.3.0.0/24", {is_local = true, routed = false})
proxy:sysctl("net.ipv4.ip_local_port_range", "61000 61001")
server:listen("0.0.0.0:80")

local NO_PORT <const> = has "bind-address-no-port" -- 4.2
local function connect(source, to, no_port, seconds)
	local s = proxy:socket{IP_TRANSPARENT = true, IP_BIND_ADDRESS_NO_PORT = no_port or nil}
	local result = s:try_bind(source .. ":0")
	if result ~= "ok" then return "bind: " .. result end
	result = s:try_connect(to, seconds)
	if result ~= "ok" then s:close() end
	return result
end
local function bind(source, options)
	local s = proxy:socket(options)
	local result = s:try_bind(source .. ":0")
	s:close()
	return result
end

-- bind() wants the local route or the option.
expect(bind("10.1.0.7"), "ok", "what the local route covers is the proxy's own")
expect(bind("10.2.0.7"), "EADDRNOTAVAIL", "an address without it is not")
expect(bind("10.2.0.7", {IP_TRANSPARENT = true}), "ok", "but IP_TRANSPARENT takes any")
for i = 1, 20 do
	expect(connect("10.1.0." .. i, "10.0.0.2:80", NO_PORT), "ok")
	expect(connect("10.1.0." .. i, "10.0.0.2:80", NO_PORT), "ok")
end
eventually(server, "ESTABLISHED", 40, "20 sources x 2 ports")
expect(connect("10.1.0.1", "10.0.0.2:80", NO_PORT), NO_PORT and "EADDRNOTAVAIL" or "bind: EADDRINUSE")

-- A second destination has the ports of each source anew, but not those that bind() chose.
if NO_PORT then
	expect(connect("10.1.0.1", "10.0.0.3:80", true), "ok")
end
expect(connect("10.1.0.30", "10.0.0.2:80"), "ok")
expect(connect("10.1.0.30", "10.0.0.2:80"), "ok")
expect(connect("10.1.0.30", "10.0.0.3:80"), "bind: EADDRINUSE", "a port that bind() took is taken for every destination")

-- A connection wants both routes, and the option replaces neither.
apart "a segment that no host takes is one lost on the line in the model; and real programs"
proxy:sysctl("net.ipv4.ip_local_port_range", "61002 61003")
local open, answers = server.ESTABLISHED, wire:count(server, "SYN ACK")
expect(connect("10.2.0.7", "10.0.0.2:80", NO_PORT, 0.3), "EINPROGRESS", "without the local route: no connection")
expect_between(wire:count(server, "SYN ACK"), answers + 1, answers + 2, "its SYN,ACK comes, and the proxy does not take it")
answers = wire:count(server, "SYN ACK")
expect(connect("10.3.0.7", "10.0.0.2:80", NO_PORT, 0.3), "EINPROGRESS", "without the way back: no connection")
expect(wire:count(server, "SYN ACK"), answers, "the server has no way for its SYN,ACK")
expect(server.ESTABLISHED, open)

-- The cure for a program that does it: sock -l closes first, and ends.
if stage ~= "kernel" then return end
local RUN <const> = "tcpwhy run --bind-address-no-port -- "
local function program(how, source, to)
	local status, shown = proxy:run(words(how .. "tcpwhy sock -l " .. source .. " " .. to .. " 80"))
	if status == 0 then return "ok" end
	return shown:find("bind(" .. source .. ":0) = -1 EADDRINUSE") and "bind: EADDRINUSE" or shown
end
for _ = 1, 2 do expect(program("", "10.1.0.40", "10.0.0.2"), "ok") end
expect(program("", "10.1.0.40", "10.0.0.3"), "bind: EADDRINUSE", "a program that calls bind(), and both ports are taken")
proxy:sysctl("net.ipv4.ip_local_port_range", "62000 62001")
for _ = 1, 2 do
	for _, to in ipairs {"10.0.0.2", "10.0.0.3"} do
		expect(program(RUN, "10.1.0.41", to), "ok", "with run, both ports for each destination")
	end
end
expect(program("", "10.1.0.41", "10.0.0.3"), "bind: EADDRINUSE", "without run: as before")
