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

-- What the lists show. sock_diag is behind ss: since 6.8 it shows those that only bound, to who asks for that state,
-- which old ss does not do. The model has no lists and looks into its own table, of any release.
expect(server:count("BOUND", 8080), 1, stage == "kernel" and "sock_diag asked for BOUND (6.8): there it is"
	or "the model's own table, not a list of this release")
server:listen("127.0.0.1:8081") -- a listener beside it shows that the lists work
-- Ports as the lists write them: /proc/net/tcp has them in hexadecimal.
local function shows_listener_only(listener, bound, ...)
	local status, shown = server:try_run(...)
	local name = table.concat({...}, " ")
	if type(status) ~= "number" then return note(name .. " is not installed: " .. status) end
	expect(shown:find(listener) ~= nil, true, name .. " shows a listener")
	expect(shown:find(bound) == nil, true, name .. " does not show the socket that only bound")
end
apart "real programs"
if stage == "kernel" then
	shows_listener_only(":1F91", ":1F90", "cat", "/proc/net/tcp")
	shows_listener_only(":8081", ":8080", "ss", "-tan")
	shows_listener_only(":8081", ":8080", "lsof", "-nP", "-iTCP")
end
silent:close()
expect(server:socket():try_bind("127.0.0.1:8080"), "ok", "close() gives the port back: there is no TIME_WAIT of it")
