-- A server that closes first keeps its port in TIME_WAIT. Started again within 60 s it cannot bind, unless both it and
-- the server before had SO_REUSEADDR, or both SO_REUSEPORT: the connection that died inherited the listener's options.
case {
	about  = "a server closes first, stops, starts again: when does bind() fail?",
	claim  = "net.ipv4.tcp_tw_reuse=1 in the pod cures it",
	truth  = "it acts on connect() only; SO_REUSEADDR or SO_REUSEPORT on both servers cures it",
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
server:sysctl("net.ipv4.tcp_fin_timeout", 1)
expect(again("0.0.0.0:8080"), "EADDRINUSE", "neither tcp_tw_reuse nor tcp_fin_timeout helps")

serve(8081, {SO_REUSEADDR = true})
expect(again("10.0.0.2:8081", {SO_REUSEADDR = true}), "ok", "both had it")
serve(8082, {SO_REUSEPORT = true})
expect(again("10.0.0.2:8082", {SO_REUSEPORT = true}), "ok")
expect(again("10.0.0.2:8082", {SO_REUSEPORT = true, uid = 1000}), "ok", "over TIME_WAIT the uid is not compared")

-- The cures. What holds the port is destroyed: that cannot be undone, and lasts until the next TIME_WAIT.
serve(8083)
expect(again("0.0.0.0:8083"), "EADDRINUSE")
server:cure "fix destroy-time-wait 0.0.0.0:8083"
expect(again("0.0.0.0:8083"), "ok", "destroyed: nothing holds the port")
serve(8083)
expect(again("0.0.0.0:8083"), "EADDRINUSE", "the next life leaves the next one")

-- For a program that sets no option: both its lives under run, or fix reuseaddr while the first one lasts. It has one
-- connection, which it closes first, and ends.
apart "real programs"
if stage ~= "kernel" then return end
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
