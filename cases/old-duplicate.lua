-- The second reason for TIME_WAIT: a segment that lingered in the net must not be taken for one of a later connection of
-- the same ports. It would have to stand where the new connection is; what has come around is set by hand here.
case {
	about  = "a delayed segment of a connection that is over meets the next one of the same ports",
	claim  = "a connection ends near the wrap of its numbers; the next goes on there and takes the old data",
	truth  = "numbers go in a circle, and the next begins at one of its own; what fits by chance, PAWS refuses",
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
client:sysctl("net.ipv4.tcp_timestamps", 0)
there, here, old = open(5004)
there:send(100)
expect(here:recv(), 100)
arrives(old, there)
expect(here.unread, 100, "without timestamps it takes its own old bytes for new ones")

-- At the wrap itself: a client played by hand, as nobody chooses the number that a kernel begins with. What the server
-- says to its port does not reach the client's host, which knows nothing of it. With a clock it has timestamps.
local function by_hand(port, seq, clock)
	local self, ack, heard = {}, 0, 0
	local function say(flags, length)
		local data = {flags = flags, from = "10.0.0.1:" .. port, to = "10.0.0.2:80", seq = seq % 2^32, ack = ack,
			length = length, tsval = clock, tsecr = clock and heard}
		wire:inject(client, data)
		pause(0.02)
		clock = clock and clock + 20
		return data
	end
	say "SYN"
	local answer = wire:last(server, "SYN ACK")
	seq, ack, heard = seq + 1, answer.ack and answer.seq + 1, answer.tsval
	say "ACK"
	self.here = listener:accept()
	function self.send()
		local data = say("ACK PSH", 100)
		expect(self.here:recv(), 100)
		seq = seq + 100
		return data
	end
	function self.close()
		seq = self.here.rcv_nxt
		say "FIN ACK"
		self.here:recv()
		self.here:close()
		seq, ack = seq + 1, ack + 1
		say "ACK"
	end
	return self
end

local function arrives_at(connection, old)
	wire:inject(client, old)
	pause(0.02)
	return connection.here.unread
end

for port = 5010, 5011 do
	local clock = port == 5011 and 1000000 or nil
	local how, taken = clock and " (with timestamps)" or " (without)", clock and 0 or 100
	wire:drop(server, "", {to_port = port})
	local first = by_hand(port, 2^32 - 150, clock)
	first.send()
	local kept = first.send()
	expect(first.here.rcv_nxt, 51, "its numbers have come around at 2^32, and the stream goes on" .. how)
	first.close()

	-- The report's story as it is told.
	local second = by_hand(port, 53, clock and clock + 1000)
	expect(arrives_at(second, kept), 0, "the next goes on there: the old number looks larger, and is behind" .. how)
	second.close()
	-- What it would take: a beginning just before the old bytes, and an answer that they can acknowledge.
	local third = by_hand(port, kept.seq - 1, clock and clock + 2000)
	expect(arrives_at(third, kept), 0, "it begins below them: what they acknowledge was never sent" .. how)
	kept.ack = third.here.snd_nxt
	expect(arrives_at(third, kept), taken, "that fits, too: " .. (clock and "PAWS" or "they are taken") .. how)
	third.close()

	-- And inside one connection, across the wrap: the number that is due, as it was 2^32 bytes ago.
	local fast = by_hand(port, 2^32 - 140, clock and clock + 3000)
	kept = fast.send()
	fast.send()
	kept.seq = fast.here.rcv_nxt - 2^32
	expect(arrives_at(fast, kept), taken, "a fast connection meets itself behind the wrap" .. how)
	fast.close()
end
