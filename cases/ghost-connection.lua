-- The accept queue is full. Until 4.9.0 a SYN is answered all the same and only the last ACK is dropped: the client
-- believes in a connection that the server never had. Later the SYN itself is dropped, and connect() goes on trying.
case {
	about    = "accept queue full: does the client believe in a connection the server never had?",
	claim    = "3.10: connect() succeeds, accept() never sees it. 4.9: connect() blocks for ever",
	truth    = "4.9.y and 4.10 drop the SYN; connect() tries again and ends in ETIMEDOUT",
	source   = "R4",
	releases = "3.10 4.9.0 4.9.y 4.19.y 6.1.y 6.18.y",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80", 1)
client:connect("10.0.0.2:80")
client:connect("10.0.0.2:80")
eventually(listener, "accept_queue", 2, "backlog 1: two wait, and nobody accepts")

local third = client:start_connect("10.0.0.2:80")
eventually(server, "ListenOverflows", 1)
if has "syn-drop-full" then
	expect(third.state, "SYN_SENT", "the SYN is dropped: no ghost")
	expect(wire:count(server, "SYN ACK"), 2)
else
	expect(third.state, "ESTABLISHED", "a ghost: only the client believes in it")
	expect(server.ESTABLISHED, 2)
end

-- Two last ACKs meet one place. With tcp_abort_on_overflow=1 the second is told.
local function two_for_one_place(port, backlog)
	local listening = server:listen("10.0.0.2:" .. port, backlog)
	for _ = 1, backlog do client:connect("10.0.0.2:" .. port) end
	local held = wire:hold(server, "SYN ACK", {from_port = port})
	local _, second = client:start_connect("10.0.0.2:" .. port), client:start_connect("10.0.0.2:" .. port)
	eventually(held, "held", 2)
	local before = server.ListenOverflows
	held:release()
	held:remove()
	eventually(function() return server.ListenOverflows > before end, true)
	expect(listening.accept_queue, backlog + 1)
	return listening, second
end
server:sysctl("net.ipv4.tcp_abort_on_overflow", 1)
local _, told = two_for_one_place(82, 2)
eventually(function() return told:so_error() end, "ECONNRESET", "no ghost, but a client that must try again")
server:sysctl("net.ipv4.tcp_abort_on_overflow", 0)

-- A SYN cookie remembers nothing: no SYN,ACK comes again, and the ghost stays until the client sends something.
if has "cookies-always" then
	server:sysctl("net.ipv4.tcp_syncookies", 2)
	local sent = server.SyncookiesSent
	local listening, ghost = two_for_one_place(83, 0)
	eventually(ghost, "state", "ESTABLISHED")
	expect(server.SyncookiesSent - sent, 2)
	expect(server:count("SYN_RECV", 83), 0, "the server has nothing of it")
	listening:accept()
	ghost:send(100)
	eventually(listening, "accept_queue", 1, "the cookie comes back with the data, and there is room")
	server:sysctl("net.ipv4.tcp_syncookies", 1)
end

-- A ghost on every release: the SYNs come while there is room, the last ACKs when there is none any more.
local later = server:listen("10.0.0.2:81", 4)
for _ = 1, 4 do client:connect("10.0.0.2:81") end
eventually(later, "accept_queue", 4)
local answers = wire:hold(server, "SYN ACK", {from_port = 81})
for _ = 1, 5 do client:start_connect("10.0.0.2:81") end
eventually(answers, "held", 5)
local overflows = server.ListenOverflows
answers:release()
answers:remove()
local function believed() return client:count("ESTABLISHED", nil, 81) end
eventually(believed, 9, "nine clients are connected")
eventually(later, "accept_queue", 5, "and five at the server")
expect(server:count("ESTABLISHED", 81), 5)
eventually(server, "ListenOverflows", overflows + 4, "which counts the others")
apart("from here on segments are sent again by timers")
eventually(function() return client.TCPChallengeACK > 0 end, true,
	"the server sends its SYN,ACK again; who is connected answers with a challenge ACK", 3)

-- connect() does not block for ever: its SYN goes out again and again, and then it gives up. Where the full queue does
-- not drop the SYN, the line does.
third:close()
if not has "syn-drop-full" then wire:drop(client, "SYN", {to_port = 80}) end
local begun, earlier = now(), wire:count(client, "SYN")
expect(client:socket():try_connect("10.0.0.2:80", 140), "ETIMEDOUT")
local least = has "syn-linear-timeouts" and 131 or 127 -- real timers: 134
expect_between(now() - begun, least - 0.1, least + 6, "after two minutes and some seconds")
local syns = wire:times(client, "SYN")
local again = has "syn-linear-timeouts" and {0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67} or {0, 1, 3, 7, 15, 31, 63} -- 6.5
expect(#syns - earlier, #again, "so many SYNs")
for i, second in ipairs(again) do
	local after = syns[earlier + i] and syns[earlier + i] - syns[earlier + 1] or -1
	-- real timers are rounded up, a long one by more
	expect_between(after, second - 0.1, second * 1.05 + 0.2, "a SYN " .. second .. " s after the first")
end
