-- connect() returns when the SYN-ACK is there, not when accept() is called: the listener's kernel has finished
-- the handshake by itself. A backlog of n admits n + 1 such connections; the next SYN is dropped.
case {
	about  = "connect() returns before accept() is called; a backlog of n admits n + 1",
	claim  = "connect() waits until the server has called accept()",
	truth  = "the kernels shake hands alone; accept() takes a connection that is there already",
	source = "R4",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80", 1)

local first = client:connect("10.0.0.2:80")
expect(first.state, "ESTABLISHED", "connect() returned, and nobody has called accept()")
eventually(listener, "accept_queue", 1)
local second = client:connect("10.0.0.2:80")
eventually(listener, "accept_queue", 2, "backlog 1 admits 2")

local served = listener:accept()
expect(served.peer_port, first.port, "accept() gives the oldest")
expect(listener.accept_queue, 1)
first:send(100)
expect(served:recv(), 100)
