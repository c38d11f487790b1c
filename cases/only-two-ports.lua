-- The limit of connect() is the ports of the range towards one destination. Another destination has them all anew.
case {
	about  = "a range of two ports: the third connection to one destination finds none",
	claim  = "two ports are two connections",
	truth  = "two for each destination: the 4-tuple is what must be free",
	source = "R2",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3")
client:sysctl("net.ipv4.ip_local_port_range", "61000 61001")
server:listen("0.0.0.0:80")

local a = client:connect("10.0.0.2:80")
local b = client:connect("10.0.0.2:80")
expect(a.port + b.port, 61000 + 61001)
expect(client:socket():try_connect("10.0.0.2:80"), "EADDRNOTAVAIL", "the third finds no port")
expect(client:socket():try_connect("10.0.0.3:80"), "ok", "another destination, the same ports")
expect(client.ESTABLISHED, 3)
