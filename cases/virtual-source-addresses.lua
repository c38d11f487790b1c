-- A proxy with IP_TRANSPARENT connects from addresses that are its clients', not its own: each source address has all
-- ports anew. The answers must come back to it, and it must take them for its own: two routes.
case {
	about  = "a range of two ports, twenty source addresses: forty connections to one destination",
	claim  = "many source addresses make many connections",
	truth  = "so it is, if bind() leaves the port to connect(), and both routes are there",
	source = "R1",
}
local proxy, server = pair("proxy 10.0.0.1", "server 10.0.0.2 10.0.0.3")
proxy:prefix("10.1.0.0/24", {is_local = true, routed = true})
proxy:sysctl("net.ipv4.ip_local_port_range", "61000 61001")
server:listen("0.0.0.0:80")

local NO_PORT <const> = has "bind-address-no-port" -- 4.2
local function connect(source, to, no_port)
	local s = proxy:socket{IP_TRANSPARENT = true, IP_BIND_ADDRESS_NO_PORT = no_port or nil}
	local result = s:try_bind(source .. ":0")
	return result == "ok" and s:try_connect(to) or "bind: " .. result
end

expect(proxy:socket():try_bind("10.1.1.1:0"), "EADDRNOTAVAIL", "an address outside the local route")
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

-- The cure for a program that does it: sock -l closes first, and ends.
apart "real programs"
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
