-- A program binds and then does something else for a while. Its port is taken, yet the lists that people look at show
-- nothing: a socket in CLOSE is in none of the tables behind them.
case {
	about  = "a socket that only bound: its port is taken, and nobody shows it",
	claim  = "what ss -tan, lsof and /proc/net/tcp do not show holds no port",
	truth  = "bind() takes the port; sock_diag shows it if asked for state BOUND (6.8), which old ss does not do",
	source = "R0",
}
local server = host("server")
local silent = server:socket()
silent:bind("127.0.0.1:8080")
expect(silent.state, "BOUND", "neither connected nor listening")
expect(server:socket():try_bind("127.0.0.1:8080"), "EADDRINUSE", "the port is taken")
expect(server:socket():try_bind("0.0.0.0:8080"), "EADDRINUSE")
expect(server:socket():try_connect("127.0.0.1:8080"), "ECONNREFUSED", "yet nobody answers there")
expect(server:count("BOUND", 8080), 1, "who asks for BOUND sees it")

-- 8080 is 1F90. A listener beside it shows that the lists work.
server:listen("127.0.0.1:8081")
if stage == "kernel" then
	for _, list in ipairs {{"ss", "-tan"}, {"cat", "/proc/net/tcp"}} do
		local status, shown = server:run(table.unpack(list))
		local name = table.concat(list, " ")
		expect(status, 0, name)
		expect((shown:find("8081") or shown:find(":1F91")) ~= nil, true, name .. " shows a listener")
		expect((shown:find(":8080") or shown:find(":1F90")) == nil, true, name .. " does not show the socket that only bound")
	end
end
silent:close()
expect(server:socket():try_bind("127.0.0.1:8080"), "ok", "close() gives the port back: there is no TIME_WAIT of it")
