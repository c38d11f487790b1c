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
