-- Two phones behind one address. A server with tcp_tw_recycle=1 (until 4.11) remembers one timestamp for each address,
-- and drops without a word the SYNs of the phone whose clock shows less. With one phone nothing is to be seen.
case {
	about    = "tcp_tw_recycle: of two clients behind one NAT address one cannot connect",
	claim    = "it turns on PAWS, which then is per address, until 4.2",
	truth    = "timestamps turn on PAWS, per connection; recycle adds a stamp per address, until 4.11",
	source   = "R2",
	releases = "3.10 4.9.0 4.9.y 4.11 4.19.y 6.18.y",
}
-- Days, and a second of uptime. A real clock is as it is: since 4.10 the kernel adds a number of its own for each pair
-- of addresses, which is as far.
local function clock(ms) return stage == "world" and ms or nil end
local old, young = host("old", {clock_ms = clock(500000000)}), host("young", {clock_ms = clock(1000)})
local nat, server = box "nat", host "server"
local first = link(old, "192.168.0.2", nat, "192.168.0.1")
local second = link(young, "192.168.1.2", nat, "192.168.1.1")
link(nat, "203.0.113.1 203.0.113.7", server, "198.51.100.1")
nat:snat{from = "192.168.0.0/16", to = "203.0.113.1"}
local listener = server:listen("198.51.100.1:80")

-- The server closes first and has TIME_WAIT.
local function leave(there, here)
	here:close()
	there:recv()
	there:close()
end
-- Whether a phone gets a connection.
local function visit(phone, to)
	local there = phone:socket()
	local result = there:try_connect(to or "198.51.100.1:80")
	if result == "ok" then leave(there, listener:accept()) else there:close() end
	pause(0.1)
	return result
end

for _ = 1, 3 do
	expect(visit(old), "ok")
	expect(visit(young), "ok", "tcp_tw_recycle=0: timestamps alone harm nobody")
end
local far = math.abs(first:last(old, "SYN").tsval - second:last(young, "SYN").tsval)
expect_between(math.min(far, 2^32 - far), 60000, 2^31, "their timestamps are a minute apart, or more")

-- PAWS is at work without recycle, and of each connection: both phones are connected from one address at once.
local function stay(phone)
	local there = phone:connect("198.51.100.1:80")
	local here = listener:accept()
	pause(0.05) -- the timestamps tick
	there:send(10)
	expect(here:recv(), 10)
	return there, here
end
local there, here = stay(old)
local young_there, young_here = stay(young)
there:send(10)
expect(here:recv(), 10)
young_there:send(10)
expect(young_here:recv(), 10)
expect(server.PAWSEstab, 0, "PAWS is not per IP: each connection has its own timestamp")
local stale = first:last(old, "data")
stale.flags, stale.seq, stale.tsval = "ACK PSH", there.snd_nxt, (stale.tsval - 1000) & 0xffffffff
first:inject(old, stale)
eventually(server, "PAWSEstab", 1, "nor does recycle turn it on: a segment of a second ago is refused without")
expect(here.unread, 0)
pause(0.1)
leave(there, here)
leave(young_there, young_here)
pause(0.1)
if not has "tw-recycle" then
	expect(pcall(server.sysctl, server, "net.ipv4.tcp_tw_recycle", 1), false, "from 4.12 on there is no such knob")
	return
end
pause(61)
server:sysctl("net.ipv4.tcp_tw_recycle", 1)
expect(visit(young), "ok")
pause(0.5)
expect(server.TIME_WAIT, 1)
pause(0.5)
expect(server.TIME_WAIT, 0, "its first effect: TIME_WAIT is over after 3.5 x RTO, which is 0.7 s")
if not has "timestamps-by-tuple" then
	for _ = 1, 20 do expect(visit(young), "ok", "one phone alone: the reproduction that failed") end
end
pause(61)

if has "timestamps-by-tuple" then
	local refused = 0
	for _ = 1, 20 do refused = refused + (visit(old) == "ok" and 0 or 1) end
	expect_between(refused, 1, 19, "each connection starts its timestamps at random: one phone is enough")
	return
end
expect(visit(old), "ok")
expect(visit(young), "EINPROGRESS", "its SYNs vanish: no RST, no ICMP, nothing in its log")
expect_between(server.PAWSPassive, 1, 3)
expect(server.ListenDrops, server.PAWSPassive)
figures("netstat -s", "counter", "")
figures("passive connections rejected because of time stamp", "PAWSPassive", server.PAWSPassive)
figures("SYNs to LISTEN sockets dropped", "ListenDrops", server.ListenDrops)
expect(visit(old), "ok", "meanwhile the old phone is served")
server:sysctl("net.ipv4.tcp_tw_recycle", 0)
expect(visit(young), "ok", "the cure")
server:sysctl("net.ipv4.tcp_tw_recycle", 1)
expect(visit(old), "ok")
nat:clear_rules()
nat:dnat{at = "203.0.113.7", to = "198.51.100.1"}
expect(visit(young, "203.0.113.7:80"), "ok", "DNAT alone leaves each phone its address: harmless")
