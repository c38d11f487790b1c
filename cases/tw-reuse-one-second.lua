-- Two ports, one server, and a client that closes first: its own TIME_WAIT stands in its way. tcp_tw_reuse lets
-- connect() take one over, if both sides used timestamps and it is older than a second.
case {
	about  = "a range of two ports, the client closes first: which TIME_WAIT may connect() take over?",
	claim  = "with tcp_tw_reuse=1 and pauses of a second 32768 is used every time, 32769 never",
	truth  = "so since 4.6, as the scan begins at even offsets (3.10: in turn); not without timestamps, nor back to back",
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
local function a_while() pause(has "tw-reuse-tick" and 1.1 or 2.1) end -- old releases want two whole seconds

client:sysctl("net.ipv4.tcp_tw_reuse", 1)
local first, second = connect(), connect()
if has "connect-parity" then expect(first, 32768, "the even one first") end
expect(first + second, 32768 + 32769, "back to back: one port, then the other")
expect(connect(), "EADDRNOTAVAIL", "then none: no TIME_WAIT is a second old")

-- More to be taken over later: two towards another server without timestamps, two on loopback.
client:sysctl("net.ipv4.tcp_timestamps", 0)
expect(to_other() + to_other(), 32768 + 32769)
client:sysctl("net.ipv4.tcp_timestamps", 1)
expect(to_itself() + to_itself(), 32768 + 32769)

for n = 1, 3 do
	a_while()
	first, second = connect(), first
	if has "connect-parity" then expect(first, 32768, "after a second: 32768 again, and never 32769")
	elseif n > 1 then expect(first + second, 32768 + 32769, "after two seconds: in turn") end
end
expect(client.TWRecycled, 3, "each took a TIME_WAIT over")

expect(to_other(), "EADDRNOTAVAIL", "without timestamps no age is enough")

a_while()
client:sysctl("net.ipv4.tcp_tw_reuse", 0)
expect(connect(), "EADDRNOTAVAIL", "tcp_tw_reuse=0")
client:cure "fix sysctl net.ipv4.tcp_tw_reuse=1"
expect(connect() ~= "EADDRNOTAVAIL", true, "cured: the same TIME_WAIT are no obstacle")
client:undo()
a_while()
expect(connect(), "EADDRNOTAVAIL", "undone: as before")
client:sysctl("net.ipv4.tcp_tw_reuse", 2)
expect(connect() == "EADDRNOTAVAIL", has "tw-reuse-loopback", "tcp_tw_reuse=2, the default since 4.19")
expect_between(to_itself(), 32768, 32769, "it means loopback only")
