-- A server that closes first keeps its port in TIME_WAIT. Started again within 60 s it cannot bind, unless both it and
-- the server before had SO_REUSEADDR, or both SO_REUSEPORT: the connection that died inherited the listener's options.
case {
	about  = "a server closes first, stops, starts again: when does bind() fail?",
	claim  = "net.ipv4.tcp_tw_reuse=1 in the pod cures it",
	truth  = "it acts on connect() only; both servers must have SO_REUSEADDR, or both SO_REUSEPORT; or wait 60 s",
	source = "R0",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3")

-- One life of a server on that port, with one client; it closes first.
local function serve(port, options)
	local listener = server:listen("10.0.0.2:" .. port, 8, options)
	local there = client:connect("10.0.0.2:" .. port)
	local here = listener:accept()
	here:close()
	there:recv()
	there:close()
	listener:close()
	eventually(function() return server:count("TIME_WAIT", port) end, 1, "TIME_WAIT is the server's")
end
local function again(address, options)
	local s = server:socket(options)
	local result = s:try_bind(address)
	s:close()
	return result
end

serve(8080)
local unseen = has "time-wait-hidden" and "ok" or "EADDRINUSE" -- a bug of 6.1.0 to 6.1.4
expect(again("10.0.0.2:8080"), unseen)
expect(again("10.0.0.2:8080", {SO_REUSEADDR = true}), unseen,
	"SO_REUSEADDR on the new server alone is not enough")
expect(again("0.0.0.0:8080"), "EADDRINUSE")
expect(again("10.0.0.3:8080"), "ok", "another address: why dynamic addresses hid the problem")
server:sysctl("net.ipv4.tcp_tw_reuse", 1)
expect(again("0.0.0.0:8080"), "EADDRINUSE", "tcp_tw_reuse=1 does not help: it is for connect()")
server:sysctl("net.ipv4.tcp_tw_reuse", 2)
server:sysctl("net.ipv4.tcp_fin_timeout", 1)
expect(again("0.0.0.0:8080"), "EADDRINUSE", "nor does tcp_fin_timeout=1: it is for FIN_WAIT2")
server:sysctl("net.ipv4.tcp_fin_timeout", 60)

serve(8081, {SO_REUSEADDR = true})
expect(again("10.0.0.2:8081", {SO_REUSEADDR = true}), "ok", "both had it")
serve(8082, {SO_REUSEPORT = true})
expect(again("10.0.0.2:8082", {SO_REUSEPORT = true}), "ok")
for _, port in ipairs {8081, 8082} do expect(again("0.0.0.0:" .. port), "EADDRINUSE", "but not without") end

-- The cures. What holds the port is destroyed: that cannot be undone, and lasts until the next TIME_WAIT.
serve(8083)
expect(again("0.0.0.0:8083"), "EADDRINUSE")
server:cure "fix destroy-time-wait 0.0.0.0:8083"
expect(again("0.0.0.0:8083"), "ok", "destroyed: nothing holds the port")
serve(8083)
expect(again("0.0.0.0:8083"), "EADDRINUSE", "the next life leaves the next one")

-- A client that stays silent never sends its FIN: what the server leaves is an orphan's FIN_WAIT2.
local function serve_silent(port)
	local listener = server:listen("10.0.0.2:" .. port)
	local there = client:connect("10.0.0.2:" .. port)
	listener:accept():close()
	listener:close()
	eventually(function() return server:count("FIN_WAIT2", port) end, 1, "FIN_WAIT2, as the client is silent")
	expect(again("0.0.0.0:" .. port), "EADDRINUSE", "it holds the port as TIME_WAIT does")
	return there
end
serve_silent(8090)
server:sysctl("net.ipv4.tcp_tw_reuse", 1)
server:sysctl("net.ipv4.tcp_fin_timeout", 1)
serve(8094)
serve_silent(8091)
eventually(function() return server:count("FIN_WAIT2", 8091) end, 0, "with tcp_fin_timeout=1 it is soon over", 3)
expect(again("0.0.0.0:8091"), "ok", "and the port is free")
expect(again("0.0.0.0:8090"), "EADDRINUSE", "the one from before keeps its minute")
expect(again("0.0.0.0:8094"), "EADDRINUSE", "a TIME_WAIT keeps its own, also where both were set before it began")
server:sysctl("net.ipv4.tcp_tw_reuse", 2)

-- For a program that sets no option: both its lives under run, or fix reuseaddr while the first one lasts. It has one
-- connection, which it closes first, and ends.
apart "real programs"
local function with_programs()
	local RUN <const>, REUSE <const> = "tcpwhy run --reuseaddr -- ", {SO_REUSEADDR = true}
	local function live(port, how, change)
		local left = server:count("TIME_WAIT", port)
		local program = server:spawn(words(how .. "tcpwhy sock -s " .. port))
		eventually(function() return server:count("LISTEN", port) end, 1, "it starts: " .. how .. port)
		if change then change(program) end
		local there = client:connect("10.0.0.2:" .. port)
		there:recv()
		there:close()
		eventually(function() return server:count("TIME_WAIT", port) end, left + 1)
		eventually(function() return server:count("LISTEN", port) end, 0) -- or the next client is its, and gets a RST
	end
	live(8084, "")
	expect(again("0.0.0.0:8084", REUSE), "EADDRINUSE", "the program that died did not set it")
	live(8085, RUN)
	live(8085, RUN)
	expect(again "0.0.0.0:8085", "EADDRINUSE", "without run: as before")

	local function set(program) server:cure("fix reuseaddr --pid " .. program) end
	local function set_and_undo(program) set(program) server:undo() end
	live(8086, "", set)
	expect(again("0.0.0.0:8086", REUSE), "ok", "fix reuseaddr set it")
	live(8087, "", set_and_undo)
	expect(again("0.0.0.0:8087", REUSE), "EADDRINUSE", "undone: as before")
end
if stage == "kernel" then with_programs() end

-- Users: who plays without root on the kernel has only one.
local one_user = stage == "kernel" and not select(2, server:run("cat", "/proc/self/uid_map")):find("4294967295")
if one_user then
	note("only one user here: SO_REUSEPORT of another is not tried")
else
	local REUSEPORT <const>, OF_ANOTHER <const> = {SO_REUSEPORT = true}, {SO_REUSEPORT = true, uid = 1000}
	expect(again("10.0.0.2:8082", OF_ANOTHER), "ok", "over TIME_WAIT the uid is not compared")
	server:listen("10.0.0.2:8092", 8, REUSEPORT)
	expect(again("10.0.0.2:8092", REUSEPORT), "ok")
	expect(again("10.0.0.2:8092", OF_ANOTHER), "EADDRINUSE", "with a live listener it is")
end

-- The oldest cure.
serve(8093)
expect(again("0.0.0.0:8093"), "EADDRINUSE")
pause(65)
expect(again("0.0.0.0:8093"), "ok", "a minute later: TIME_WAIT is over")
