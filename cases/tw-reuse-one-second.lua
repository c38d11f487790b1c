-- Two ports, one server, and a client that closes first: its own TIME_WAIT stands in its way. tcp_tw_reuse lets
-- connect() take one over, if both sides used timestamps and it is older than a second.
case {
	about  = "a range of two ports, the client closes first: which TIME_WAIT may connect() take over?",
	claim  = "with tcp_tw_reuse=1 and pauses of a second 32768 is used every time, 32769 never",
	truth  = "so in 4.19; until 4.11 one second is too short: in turn; not without timestamps, nor back to back",
	source = "R3",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3")
local listener, own = server:listen("0.0.0.0:80"), client:listen("127.0.0.1:80")
client:sysctl("net.ipv4.ip_local_port_range", "32768 32769")

-- One connection, closed by the client first; its port, or the errno.
local function once(at, to)
	local s = client:socket()
	local result = s:try_connect(to)
	if result ~= "ok" then return result end
	local port, there, here = s.port, s.here, at:accept()
	s:close()
	here:recv()
	here:close()
	eventually(function() return client:find(there, to).state end, "TIME_WAIT")
	return port
end
local function connect() return once(listener, "10.0.0.2:80") end
local function to_other() return once(listener, "10.0.0.3:80") end
local function to_itself() return once(own, "127.0.0.1:80") end

-- What tcp_twsk_unique() decided about each TIME_WAIT of the range. In the model the rule book says it after the call;
-- on the kernel tcpwhy connect looks at the sockets and says before it what connect() will do.
local COULD_NOT_SEE <const> = 3
local function foretold(to)
	local status, shown = client:run(words("tcpwhy connect " .. to .. " --json"))
	return status, read_json(shown).ports
end
figures("TIME_WAIT", "kept", "because", "reusable")
local function refused(why, to, sentence)
	local s, status, ports = client:socket(), 1, nil
	if stage == "kernel" then status, ports = foretold(to) end
	expect(s:try_connect(to), "EADDRNOTAVAIL", sentence)
	ports = ports or s:verdict()
	s:close()
	if status == COULD_NOT_SEE then
		expect(ports.unknown, 2, "no BPF here: whether they had timestamps cannot be seen")
		return
	end
	expect(status, 1, "and that is what tcpwhy connect said")
	expect(ports.time_wait_kept[why], 2, "both TIME_WAIT are kept: " .. why)
	expect(ports.reusable, 0)
	figures(sentence, ports.time_wait_kept[why], why, ports.reusable)
end
-- A connection over a TIME_WAIT of that range.
local function taken_over()
	if stage == "kernel" then
		local status, ports = foretold "10.0.0.2:80"
		if status ~= COULD_NOT_SEE then
			expect(status, 0, "tcpwhy connect says that it will find a port")
			expect(ports.reusable, 2)
		end
	end
	return connect()
end
-- Until 4.11 the numbers of two seconds must differ by two. Seconds of the model begin with the play.
local function a_while() pause(has "tw-reuse-tick" and 1.1 or 2.1) end
-- The ports of so many connections, with a pause before each.
local function with_pauses(seconds, n)
	local ports = {}
	for i = 1, n do
		pause(seconds)
		ports[i] = taken_over()
	end
	return ports
end
local function expect_ports(ports, in_turn, sentence)
	for i, port in ipairs(ports) do
		if not in_turn then expect(port, 32768, sentence)
		elseif i > 1 then expect(port + ports[i - 1], 32768 + 32769, sentence) end
	end
end

client:sysctl("net.ipv4.tcp_tw_reuse", 1)
local first, second = connect(), connect()
if has "connect-parity" then expect(first, 32768, "the even one first") end
expect(first + second, 32768 + 32769, "back to back: one port, then the other")
refused("too_young", "10.0.0.2:80", "then none: none is a second old")

-- More to be taken over later: two towards another server without timestamps, two on loopback.
client:sysctl("net.ipv4.tcp_timestamps", 0)
expect(to_other() + to_other(), 32768 + 32769)
client:sysctl("net.ipv4.tcp_timestamps", 1)
expect(to_itself() + to_itself(), 32768 + 32769)

if has "tw-reuse-tick" then
	expect_ports(with_pauses(1.1, 3), false, "pauses of a second: 32768 again, and never 32769")
else
	pause(1.1)
	refused("too_young", "10.0.0.2:80", "a pause of a second is not enough")
	local in_turn = not has "connect-parity"
	expect_ports(with_pauses(2.1, 3), in_turn, in_turn and "of two: in turn" or "of two: 32768 again")
	pause(3 - now() % 1) -- both are old enough, and a second begins
	expect_ports(with_pauses(1.1, 6), true, "of one: in turn, as the other one is old enough")
end
expect(client.TWRecycled, has "tw-reuse-tick" and 3 or 9, "each took a TIME_WAIT over")

refused("no_timestamps", "10.0.0.3:80", "without timestamps no age is enough")

a_while()
client:sysctl("net.ipv4.tcp_tw_reuse", 0)
refused("reuse_off", "10.0.0.2:80", "tcp_tw_reuse=0")
client:cure "fix sysctl net.ipv4.tcp_tw_reuse=1"
expect(taken_over() ~= "EADDRNOTAVAIL", true, "cured: the same TIME_WAIT are no obstacle")
client:undo()
a_while()
refused("reuse_off", "10.0.0.2:80", "undone: as before")
client:sysctl("net.ipv4.tcp_tw_reuse", 2)
if has "tw-reuse-loopback" then
	refused("loopback_only", "10.0.0.2:80", "tcp_tw_reuse=2, default since 4.19")
else
	expect(connect() ~= "EADDRNOTAVAIL", true, "tcp_tw_reuse=2 is as good as 1 before 4.19")
end
expect_between(to_itself(), 32768, 32769, "it means loopback only")
