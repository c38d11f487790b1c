-- The second reason for TIME_WAIT: a segment that lingered in the net must not be taken for one of a later connection of
-- the same ports. It would have to stand where the new connection is; numbers that have come around are set by hand here.
case {
	about  = "a delayed segment of a connection that is over meets the next one of the same ports",
	claim  = "a connection ends near the wrap of its numbers; the next goes on there and takes the old data",
	truth  = "the next begins at a number of its own; what fits by chance, PAWS refuses by its timestamp",
	source = "R0 R2",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80")

-- A connection that sends 100 bytes; the net keeps a copy of them.
local function open(port)
	local there = client:socket{SO_REUSEADDR = true}
	there:bind("10.0.0.1:" .. port)
	there:connect("10.0.0.2:80")
	local here = listener:accept()
	there:send(100)
	expect(here:recv(), 100)
	pause(0.05)
	local kept = wire:last(client, "data")
	kept.flags = "ACK PSH"
	return there, here, kept
end
local function close(there, here)
	there:close()
	here:recv()
	here:close()
	pause(0.05)
end
-- There: the connection to whose place the numbers have come around.
local function arrives(old, there)
	if there then old.seq, old.ack = there.snd_nxt, there.rcv_nxt end
	wire:inject(client, old)
	pause(0.05)
end

-- No timestamps, no TIME_WAIT: nothing protects.
client:sysctl("net.ipv4.tcp_timestamps", 0)
client:sysctl("net.ipv4.tcp_max_tw_buckets", 0)
local there, here, old = open(5000)
close(there, here)
there, here = open(5000)
local answers = wire:count(server, "ACK empty -SYN")
arrives(old)
expect(here.unread, 0, "the report's story: the new connection began anew, the old number is outside its window")
expect(wire:count(server, "ACK empty -SYN"), answers + 1, "which it is told")
arrives(old, there)
expect(here.unread, 100, "a number that fits: bytes of another connection in the stream")

-- TIME_WAIT alone: the ports are not used again while old segments can live.
client:sysctl("net.ipv4.tcp_max_tw_buckets", 1000)
close(open(5001))
local again = client:socket{SO_REUSEADDR = true}
again:bind("10.0.0.1:5001")
expect(again:try_connect("10.0.0.2:80"), "EADDRNOTAVAIL")

-- Timestamps alone: connect() may take TIME_WAIT over, or there is none; the old segment is known by its age.
client:sysctl("net.ipv4.tcp_timestamps", 1)
there, here, old = open(5002)
close(there, here)
there, here = open(5002)
arrives(old, there)
expect(here.unread, 0, "PAWS: its timestamp is older than the last one seen")
expect(server.PAWSEstab, 1)

-- The wrap that RFC 7323 means is inside one connection: 4 GiB later (at 10 Gbit/s: 3.4 s)
-- the same numbers stand for other bytes.
there, here, old = open(5003)
there:send(100)
expect(here:recv(), 100)
arrives(old, there)
expect(here.unread, 0)
expect(server.PAWSEstab, 2, "the same rule keeps a fast connection from itself")
