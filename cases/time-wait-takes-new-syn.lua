-- A server in TIME_WAIT takes a new connection from the same port of the same client, long before the 60 s are over: the
-- SYN must only be newer than all that went before. That is no bug but RFC 1122 (4.2.2.13) and RFC 6191.
case {
	about  = "a new SYN ends the server's TIME_WAIT if it is newer",
	claim  = "that a port in TIME_WAIT is connected again at once is a bug of Linux",
	truth  = "RFC 1122 allows it by sequence, RFC 6191 by timestamp; no old segment can be mistaken",
	source = "R3",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80")

-- One connection from port 5000; the server closes first. Gives what comes next in sequence.
local function from_5000()
	local there = client:socket{SO_REUSEADDR = true}
	there:bind("10.0.0.1:5000")
	there:connect("10.0.0.2:80")
	local here = listener:accept()
	here:close()
	there:recv()
	local fin = there.snd_nxt
	there:close()
	eventually(server, "TIME_WAIT", 1, "TIME_WAIT is the server's, the port is the client's again")
	pause(0.02)
	return fin + 1
end

from_5000()
from_5000()
expect(wire:count(server, "SYN ACK"), 2, "the second SYN has a newer timestamp: accepted, not asked again")
client:sysctl("net.ipv4.tcp_timestamps", 0)
from_5000()
local next_seq = from_5000()
expect(wire:count(server, "SYN ACK"), 4, "without timestamps a higher sequence is enough")
expect(wire:last(client, "SYN").tsval, nil)
expect(wire:count(client, "RST"), 0)

-- An old SYN is answered with the last ACK. The client knows of no such connection: its RST ends TIME_WAIT, or not.
local function old_syn()
	local acks = wire:count(server, "ACK empty -SYN -FIN")
	wire:inject(client, {flags = "SYN", from = "10.0.0.1:5000", to = "10.0.0.2:80", seq = next_seq - 1000})
	eventually(function() return wire:count(server, "ACK empty -SYN -FIN") end, acks + 1)
	pause(0.02)
end
server:sysctl("net.ipv4.tcp_rfc1337", 1)
old_syn()
expect(wire:count(client, "RST"), 1)
expect(server.TIME_WAIT, 1, "tcp_rfc1337=1: TIME_WAIT ignores the RST")
server:sysctl("net.ipv4.tcp_rfc1337", 0)
pause(0.6) -- such answers are limited to two a second
old_syn()
eventually(server, "TIME_WAIT", 0, "tcp_rfc1337=0: the RST ends it (RFC 1337: assassination)")

from_5000()
listener:close()
local acks, resets = wire:count(server, "ACK empty -SYN -FIN -RST"), wire:count(server, "RST")
local again = client:socket{SO_REUSEADDR = true}
again:bind("10.0.0.1:5000")
expect(again:try_connect("10.0.0.2:80"), "ECONNREFUSED", "nobody listens")
expect(wire:count(server, "ACK empty -SYN -FIN -RST"), acks + 1, "first TIME_WAIT answers the SYN with its ACK")
expect(wire:count(server, "RST"), resets + 1, "the client's RST ends it, and its next SYN meets the kernel's RST")
