-- A client bound to its port before it connected; the connection is in TIME_WAIT at the client. A new socket wants the
-- same port, to reach the same server. Two gates: bind() asks for SO_REUSEADDR on both, connect() for timestamps.
case {
	about  = "a client's local port is in TIME_WAIT: may a new socket bind it and connect again?",
	claim  = "SO_REUSEADDR on the new socket lets it take the port over",
	truth  = "the old socket needs it too; connect() then needs timestamps, and never tcp_tw_reuse",
	source = "R3",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3")
local listener = server:listen("0.0.0.0:80")
local REUSE = {SO_REUSEADDR = true}

local function leave_time_wait(port, options)
	local there = client:socket(options)
	there:bind("10.0.0.1:" .. port)
	there:connect("10.0.0.2:80")
	local here = listener:accept()
	there:close()
	here:recv()
	here:close()
	eventually(function() return client:count("TIME_WAIT", port) end, 1, "TIME_WAIT is the client's")
end
local function again(port, options, to)
	local s = client:socket(options)
	local result = s:try_bind("10.0.0.1:" .. port)
	if result ~= "ok" then return "bind(): " .. result end
	result = s:try_connect(to)
	if result == "ok" then listener:accept() end
	return result
end

leave_time_wait(5001)
if has "time-wait-hidden" then
	expect(client:socket(REUSE):try_bind("10.0.0.1:5001"), "ok", "a bug of 6.1.0 to 6.1.4: TIME_WAIT is not seen")
else
	expect(again(5001, nil, "10.0.0.2:80"), "bind(): EADDRINUSE")
	expect(again(5001, REUSE, "10.0.0.2:80"), "bind(): EADDRINUSE", "the first socket lacked SO_REUSEADDR")
end

expect(client:socket(REUSE):try_bind("0.0.0.0:5001"), "EADDRINUSE", "and so it is for all addresses")

for tw_reuse = 0, 2 do
	client:sysctl("net.ipv4.tcp_tw_reuse", tw_reuse)
	for timestamps = 0, 1 do
		client:sysctl("net.ipv4.tcp_timestamps", timestamps)
		local port = 6000 + 2 * tw_reuse + timestamps
		leave_time_wait(port, REUSE)
		expect(again(port, REUSE, "10.0.0.3:80"), "ok", "both had it: another server can be reached")
		expect(again(port, REUSE, "10.0.0.2:80"), timestamps == 1 and "ok" or "EADDRNOTAVAIL",
			"the same server, tcp_tw_reuse " .. tw_reuse .. ", tcp_timestamps " .. timestamps)
	end
end
