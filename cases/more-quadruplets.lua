-- A client that closes first runs out at (ports x destinations) / 60 s. Four ways to have more 4-tuples: a wider range,
-- more ports of the server, more addresses of the client, more addresses of the server. Each multiplies.
case {
	about  = "four ways to more 4-tuples: how many can be used, and how many connections a second last",
	claim  = "28,000 ports are 28,000 connections",
	truth  = "for each pair of addresses and each port of the server; with TIME_WAIT a 60th of that each second",
	source = "R2",
}
local client, server = pair("client 10.0.0.1 10.0.0.11 10.0.0.12 10.0.0.13",
	"server 10.0.0.2 10.0.0.21 10.0.0.22 10.0.0.23", {untapped = true})
server:sysctl("net.core.somaxconn", 1000)

-- A range of 100 ports in place of 28,232, each time another one, as TIME_WAIT stays. Connections are held, so what is
-- refused has no 4-tuple left.
local low = 30000
local function usable(what, ports, to, from)
	low = low + 1000
	client:sysctl("net.ipv4.ip_local_port_range", low .. " " .. low + ports - 1)
	for _, each in ipairs(to) do server:serve(each, {backlog = 1000}) end
	local load = client:load{to = to, total = 1000, from = from,
		IP_BIND_ADDRESS_NO_PORT = from and has "bind-address-no-port"}
	eventually(load, "done", true)
	expect(load.EADDRNOTAVAIL + load.EADDRINUSE, 1000 - load.established) -- before 4.2: bind() says it
	local n = load.established
	figures(what, n, n / 60, n / 100 * 28232, n / 100 * 28232 / 60)
	load:stop()
	return n
end
figures("100 ports and", "4-tuples", "a second", "with 28,232", "a second ")
expect(usable("one of each", 100, {"10.0.0.2:80"}), 100)
expect(usable("twice the range", 200, {"10.0.0.2:81"}), 200)
expect(usable("4 ports of the server", 100, {"10.0.0.2:82", "10.0.0.2:83", "10.0.0.2:84", "10.0.0.2:85"}), 400)
expect(usable("4 addresses of the client", 100, {"10.0.0.2:86"}, {"10.0.0.1", "10.0.0.11", "10.0.0.12", "10.0.0.13"}), 400)
expect(usable("4 addresses of the server", 100, {"10.0.0.2:87", "10.0.0.21:87", "10.0.0.22:87", "10.0.0.23:87"}), 400)
local NO_PORT <const> = has "bind-address-no-port" -- before, bind() takes a port of an address for all of the server's
expect(usable("2 ports, 3 addresses", 100, {"10.0.0.2:88", "10.0.0.2:89"}, {"10.0.0.1", "10.0.0.11", "10.0.0.12"}),
	NO_PORT and 600 or 300, NO_PORT and "each multiplies" or "ports of the server do not: bind() came before (4.2)")

-- The cures. A wider range, for connections that are held:
server:listen("0.0.0.0:90")
client:sysctl("net.ipv4.ip_local_port_range", "50000 50001")
local function connect() return client:socket():try_connect("10.0.0.2:90") end
for _ = 1, 2 do expect(connect(), "ok") end
expect(connect(), "EADDRNOTAVAIL", "two ports, two connections")
client:cure "fix sysctl net.ipv4.ip_local_port_range='50000 50003'"
for _ = 1, 2 do expect(connect(), "ok", "fix sysctl: two ports more") end
client:undo()
expect(connect(), "EADDRNOTAVAIL", "undone: as before")

apart "three minutes are the model's, real programs the kernel's"
-- A second's share, played: a client that closes first, with a range of 60 ports, for three minutes. A port comes free
-- after 60 s, so one connection a second is what lasts; a fifth more runs dry after 50 s, and a sixth of what follows fails.
if stage == "world" then
	client:sysctl("net.ipv4.ip_local_port_range", "45000 45059")
	figures("60 ports", "a second", "in 3 minutes", "refused")
	for i, rate in ipairs{1, 1.2} do
		local to = "10.0.0.2:" .. 100 + i
		server:serve(to, {request = 100, reply = 100})
		local load = client:load{to = to, total = i == 1 and 180 or 216, every = 1.001 / rate, request = 100, reply = 100}
		eventually(load, "done", true, nil, 200)
		figures("n/60 x " .. rate, rate, load.opened, load.EADDRNOTAVAIL)
		expect_between(load.EADDRNOTAVAIL, i == 1 and 0 or 20, i == 1 and 0 or 40, "for three minutes n/60 x " .. rate .. " a second")
	end
	return
end

-- More addresses, for a program that names none: a hook on its cgroup. sock closes first, and ends.
local group = client:cgroup()
if not group then return end
client:sysctl("net.ipv4.ip_local_port_range", "51000 51001")
local function program()
	local status, shown = client:run(words "tcpwhy sock 10.0.0.2 90")
	return status == 0 and "ok" or shown:find "= -1 EADDRNOTAVAIL" and "EADDRNOTAVAIL" or shown
end
for _ = 1, 2 do expect(program(), "ok") end
expect(program(), "EADDRNOTAVAIL", "two ports, and both are in TIME_WAIT")
if client:cure("fix hook --cgroup " .. group .. " spread=10.0.0.11,10.0.0.12") then
	for _ = 1, 4 do expect(program(), "ok", "fix hook: two ports of each address") end
	client:undo()
	expect(program(), "EADDRNOTAVAIL", "undone: as before")
end
