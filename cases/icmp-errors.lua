-- A firewall that rejects need not send a RST: it may answer by ICMP. What becomes of that is up to the type, the family,
-- and the state of the connection, which the packet may be forged to be about.
case {
	about = "a firewall answers by ICMP: who is told what?",
	claim = "a rejected connection is refused",
	truth = "connect() gets the errno of what ICMP says, and IPv6 another than IPv4; an established connection goes on, and SO_ERROR tells it once",
	source = "R4",
}
local client, wall, server = host("client"), box("wall"), host("server")
link(client, "10.0.0.1 fd00::1", wall, "10.0.0.254 fd00::fe")
link(wall, "10.0.1.254 fd01::fe", server, "10.0.1.2 fd01::2")
local to = {[4] = "10.0.1.2:80", [6] = "[fd01::2]:80"}

local told = {
	{"port-unreachable", {[4] = "ECONNREFUSED", [6] = "ECONNREFUSED"}},
	{"host-unreachable", {[4] = "EHOSTUNREACH", [6] = "EHOSTUNREACH"}},
	{"no-route", {[4] = "ENETUNREACH", [6] = "ENETUNREACH"}},
	{"admin-prohibited", {[4] = "EHOSTUNREACH", [6] = "EACCES"}},
}
for _, what in ipairs(told) do
	wall:reject{with = what[1], port = 80}
	for _, family in ipairs{4, 6} do
		local s = client:socket{family = family}
		expect(s:try_connect(to[family]), what[2][family], what[1] .. ", IPv" .. family)
	end
	wall:clear_rules()
end
expect(client.AttemptFails, 8)

-- An established connection: it may pass, or be forged.
local l = server:listen(to[4])
local c = client:connect(to[4])
local s = l:accept()
wall:reject{with = "host-unreachable", port = 80}
c:send(10)
eventually(function() return c:so_error() end, "EHOSTUNREACH", "SO_ERROR tells it")
expect(c:so_error(), "ok", "once")
expect(c.state, "ESTABLISHED", "and the connection goes on")
wall:clear_rules()
eventually(s, "unread", 10, "until the way is there again")
eventually(c, "unacked", 0)

-- A handshake at a listener. Which errors end it depends on the family.
wall:reject{with = "host-unreachable", from_port = 80}
client:start_connect(to[4])
eventually(server, "ListenDrops", 1, "the SYN-ACK does not arrive, and the request ends")
expect(l.syn_queue, 0)
