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
client:prefix("10.1.0.0/24", {is_local = true, routed = true})
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

-- The same in numbers: 200 ports and three destinations, and not one more.
figures("connections", "client's ports", "destinations", "bytes each")
local three = {"10.0.0.2:82", "10.0.0.3:82", "10.0.0.2:83"}
for _, to in ipairs(three) do server:serve(to, {backlog = 16384}) end
client:sysctl("net.ipv4.ip_local_port_range", "61100 61299")
local crowd = client:load{to = three, total = 603}
eventually(crowd, "established", 600)
expect(crowd.EADDRNOTAVAIL, 3)
figures(600, 200, 3, "-")
crowd:stop()

-- A hundred nodes, each with a hundred connections to one port.
client:sysctl("net.ipv4.ip_local_port_range", "1024 60999")
local nodes = {{}, {}}
for i = 1, 100 do table.insert(nodes[i % 2 + 1], "10.1.0." .. i) end
local before = server.ESTABLISHED
for _, half in ipairs(nodes) do
	crowd = client:load{to = "10.0.0.2:80", from = half, total = 5000, IP_BIND_ADDRESS_NO_PORT = has "bind-address-no-port"}
	eventually(crowd, "established", 5000)
end
pause(0.05)
eventually(server, "ESTABLISHED", before + 10000)
figures(10000, "100 x 100", 1, "-")

-- More than 65,536 by one client, through several destinations.
apart "a million, and more than 64k of one client, are the model's"
if stage == "kernel" then return end
client:sysctl("net.ipv4.ip_local_port_range", "1024 65535")
crowd = client:load{to = three, total = 70000, every = 0.00001}
eventually(crowd, "established", 70000)
figures(70000, 64512, 3, "-")

-- A million, without their segments, as a kernel cannot have them.
local bytes = listener:crowd{here = "10.0.0.2", there = "11.0.0.1", peers = 20, port = 10000, n = 50000}
expect_between(bytes / 1000000, 0, 100, "bytes a connection costs the rule book, for its identity")
figures(1000000, "20 x 50,000", 1, bytes / 1000000)
