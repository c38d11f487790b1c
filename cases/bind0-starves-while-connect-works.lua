-- A node of a cluster makes connections, closes them first, and listens on a port that it lets the kernel choose. One
-- day its own TIME_WAIT cover the range: connect() goes on, as tcp_tw_reuse lets it, and bind() to port 0 fails.
case {
	about  = "TIME_WAIT covers the port range: connect() works, bind() to port 0 does not",
	claim  = "tcp_tw_reuse=1 frees the ports; else draw them at random from a pool",
	truth  = "it frees them for connect(). A pool helps outside the range, the least recently used port first",
	source = "R4",
}
local node, peer = pair("node 10.0.0.1 10.0.0.9 fd00::1", "peer 10.0.0.2")
local listener = peer:listen("10.0.0.2:80")
node:sysctl("net.ipv4.tcp_tw_reuse", 1)
local REUSE = {SO_REUSEADDR = true}

local function range(low) node:sysctl("net.ipv4.ip_local_port_range", low .. " " .. low + 7) end
local function close_first(first, second)
	first:close()
	second:recv()
	second:close()
end
local function leave_time_wait(n, options)
	local before = node.TIME_WAIT
	for _ = 1, n do
		local there = node:connect("10.0.0.2:80", options)
		close_first(there, listener:accept())
	end
	eventually(node, "TIME_WAIT", before + n)
end
local function try(address, options)
	local s = node:socket(options)
	local result = s:try_bind(address)
	s:close()
	return result
end

range(40000)
leave_time_wait(4)
local other = node:socket()
expect(other:try_bind "0.0.0.0:0", "ok", "half of the range")
if has "bind-any-parity" then expect(other.port & 1, 1, "bind() takes the other half") end
other:close()
leave_time_wait(4)
local seen = has "time-wait-hidden" and "ok" or "EADDRINUSE" -- a bug of 6.1.0 to 6.1.4
for _, option in ipairs {"none", "SO_REUSEADDR", "SO_REUSEPORT"} do
	local options, with = {[option] = true}, ", options of the new socket: " .. option
	options.none = nil
	expect(try("0.0.0.0:0", options), "EADDRINUSE", "0.0.0.0" .. with)
	expect(try("10.0.0.1:0", options), seen, "the address of the TIME_WAIT" .. with)
	options.family = 6
	expect(try("[::]:0", options), "EADDRINUSE", "::" .. with)
end
expect(node:socket():try_listen(), "EADDRINUSE", "listen() without bind() chooses as bind() does")
expect(try("10.0.0.9:0"), "ok", "another local address")
expect(try("0.0.0.0:40003"), "EADDRINUSE", "a pool within the range: an explicit port may be in TIME_WAIT, too")
expect(try("0.0.0.0:39003"), "ok", "a pool outside: connect() leaves nothing there")
pause(has "tw-reuse-tick" and 1.1 or 2.1)
expect(node:connect("10.0.0.2:80").state, "ESTABLISHED", "and connect() goes on")
listener:accept()

range(41000)
leave_time_wait(8, REUSE)
expect(try("0.0.0.0:0", REUSE), "EADDRINUSE", "SO_REUSEADDR on both is not enough")
expect(try("0.0.0.0:41003", REUSE), "ok", "but for a port that is named")
if has "autobind-reuse" then
	node:cure "fix sysctl net.ipv4.ip_autobind_reuse=1"
	expect(try("0.0.0.0:0", REUSE), "ok", "and with ip_autobind_reuse=1 (5.7) for any")
	node:undo()
	expect(try("0.0.0.0:0", REUSE), "EADDRINUSE", "as before")
end

-- The cure for a program: a pool outside the range, the least recently used port first.
range(42000)
leave_time_wait(8)
apart "real programs"
local PROGRAM <const> = "tcpwhy sock -s 0.0.0.0 0"
local function refused()
	local _, shown = node:run(words(PROGRAM))
	return shown:find "bind(0.0.0.0:0) = -1 EADDRINUSE" ~= nil
end
if stage == "kernel" then
	expect(refused(), true, "a server that lets the kernel choose its port finds none")
	expect(node:run(words "tcpwhy port init 30100-30199"), 0)
	local server = node:spawn(words("tcpwhy run --lease -- " .. PROGRAM))
	eventually(function() return node:count("LISTEN", 30100) end, 1, "run --lease: it has one of a pool")
	node:stop(server)
	expect(refused(), true, "without run: as before")
end

-- A listener from a pool of seven ports, restarted every ten seconds, closes its connection first: is its next port free?
local function serve(port)
	local s = node:socket()
	if s:try_bind("10.0.0.1:" .. port) ~= "ok" then return 1 end
	s:listen()
	local there = peer:connect("10.0.0.1:" .. port)
	close_first(s:accept(), there)
	s:close()
	return 0
end
local random, oldest = 0, 0
for n = 0, 13 do
	random = random + serve(30000 + math.random(0, 6))
	oldest = oldest + serve(31000 + n % 7)
	pause(10)
end
expect_between(random, has "time-wait-hidden" and 0 or 1, 14, "a port at random is often in TIME_WAIT still")
expect(oldest, 0, "the least recently used one never: 7 times 10 s is more than 60 s")
