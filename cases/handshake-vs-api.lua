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

-- Step by step. Each segment is held until both queues were looked at; connect() returns in between.
local function queues(syn, accept, sentence)
	eventually(listener, "syn_queue", syn, sentence .. ": SYN queue " .. syn)
	eventually(listener, "accept_queue", accept, sentence .. ": accept queue " .. accept)
end
local function let_go(control)
	control:release()
	control:remove()
end
queues(0, 0, "listen()")
local syn = wire:hold(client, "SYN")
local first = client:start_connect("10.0.0.2:80")
eventually(syn, "held", 1)
queues(0, 0, "the SYN is on its way")
local syn_ack, ack = wire:hold(server, "SYN ACK"), wire:hold(client, "ACK -SYN")
let_go(syn)
eventually(syn_ack, "held", 1)
queues(1, 0, "the SYN arrived")
expect(first.state, "SYN_SENT")
let_go(syn_ack)
eventually(ack, "held", 1)
expect(first.state, "ESTABLISHED", "the SYN,ACK arrived: connect() returns, and nobody has called accept()")
queues(1, 0, "the server has not heard of it")
let_go(ack)
queues(0, 1, "the ACK arrived")

local second = client:connect("10.0.0.2:80")
queues(0, 2, "backlog 1 admits 2")
local full = client:start_connect("10.0.0.2:80")
if has "syn-drop-full" then
	eventually(server, "ListenOverflows", 1, "and not a third: its SYN is dropped")
	expect(full.state, "SYN_SENT")
else
	eventually(server, "ListenOverflows", 1, "and not a third: its ACK is dropped, it stays in the SYN queue")
	expect(full.state, "ESTABLISHED")
end
queues(has "syn-drop-full" and 0 or 1, 2, "the third")
full:close()

local served = listener:accept()
expect(served.peer_port, first.port, "accept() gives the oldest")
expect(listener.accept_queue, 1, "accept() takes it out")
expect(listener:accept().peer_port, second.port)
expect(listener.accept_queue, 0)
first:send(100)
expect(served:recv(), 100)
