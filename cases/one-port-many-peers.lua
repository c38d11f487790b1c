-- A server's port is not used up by connections: what must be free is the 4-tuple. One port can hold a million of them,
-- from 20 clients with 50,000 ports each; and a client passes 64k by having several destinations.
case {
	about    = "one million connections on one local port",
	claim    = "a port, or a host, holds 65,535 connections; 100 nodes with 100 connections each are near the limit",
	truth    = "that is the limit of one 4-tuple's free part; 10,000 connections are nothing",
	source   = "R4",
	releases = "3.10 6.18.y",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3", {untapped = true})
server:sysctl("net.core.somaxconn", 16384)
local listener = server:listen("0.0.0.0:80", 16384)

-- With a range of two ports three destinations are six connections.
client:sysctl("net.ipv4.ip_local_port_range", "61000 61001")
server:listen("0.0.0.0:81")
for _, to in ipairs{"10.0.0.2:81", "10.0.0.3:80", "10.0.0.3:81"} do
	client:connect(to)
	client:connect(to)
	expect(client:socket():try_connect(to), "EADDRNOTAVAIL")
end
expect(client.ESTABLISHED, 6)
expect(server:socket():try_bind("10.0.0.2:80"), "EADDRINUSE", "bind() asks for the port, and finds the listener")

-- A hundred times a hundred, by one client: a sixth of the ports that it may take.
figures("connections", "ports of the server", "bytes each")
client:sysctl("net.ipv4.ip_local_port_range", "1024 60999")
local crowd = client:load{to = "10.0.0.2:80", total = 10000}
eventually(crowd, "established", 10000)
pause(0.05)
eventually(server, "ESTABLISHED", 10006)
figures(10000, 1, "-")

-- A million, without their segments, as a kernel cannot have them.
apart "the million is the model's"
if stage == "kernel" then return end
local bytes = listener:crowd{here = "10.0.0.2", there = "11.0.0.1", peers = 20, port = 10000, n = 50000}
expect_between(bytes / 1000000, 0, 100, "bytes a connection costs the rule book, for its identity")
figures(1000000, 1, bytes / 1000000)
