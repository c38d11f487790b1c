-- A firewall at the client answers a delayed segment with a RST. The server finds it out of window and ignores it; the
-- load balancer on the way believes any RST and forgets the connection some seconds later. Client and server know nothing.
case {
	about  = "a RST that the server ignores, and the load balancer believes",
	claim  = "the server acknowledged the RST, and went on all the same",
	truth  = "nobody acknowledges a RST; exact: reset, in window: challenge ACK, else ignored; boxes may be simpler",
	source = "R4",
}
local client, lb, server = host "client", box "lb", host "server"
local front = link(client, "10.0.0.1", lb, "10.0.0.254")
local back = link(lb, "10.0.1.254", server, "10.0.1.2")
local listener = server:listen("10.0.1.2:80")
local forget = stage == "world" and 10 or 2 -- seconds

local function open(options)
	options.at, options.port, options.to, options.closed = "10.0.0.254", 80, {"10.0.1.2"}, forget
	lb:clear_rules()
	lb:balance(options)
	-- After a round of 0.2 s the server repeats nothing for 0.6 s, which is long enough to make a firewall in.
	front:set_delay(0.1)
	local there = client:connect("10.0.0.254:80")
	local here = listener:accept()
	front:set_delay(0)
	return there, here
end

-- The server's data is late; when it comes, the client has sent more, and a firewall that rejects.
local function rejected_late(there, here)
	local late, again = front:hold(lb, "data", {times = 1}), front:hold(lb, "data")
	here:send(100)
	eventually(late, "held", 1)
	there:send(200)
	expect(here:recv(), 200)
	eventually(there, "unacked", 0)
	client:reject{place = "in", from_port = 80}
	late:release()
	eventually(function() return front:count(client, "RST", {from_port = there.port}) end, 1)
	client:clear_rules()
	again:release() -- if making the firewall took so long that it has come already
	again:remove()
	expect(here.state, "ESTABLISHED", "the RST answers an old segment: out of window, ignored")
	expect(there:recv(), 100, "the data comes again")
	pause(0.02)
end

local there, here = open{resets_at_end = true}
rejected_late(there, here)
expect(lb:sessions()[1].state, "RESET", "only the load balancer believes it")
expect(there:so_error() .. ", " .. there.state, "ok, ESTABLISHED", "nobody has heard of it yet")
local begun = now()
eventually(function() return there:so_error() end, "ECONNRESET", "reading 1: it resets both ends", forget + 2)
expect_between(now() - begun, forget / 2, forget + 2, "when its session ends, and not before")
eventually(function() return here:so_error() end, "ECONNRESET")

there, here = open{resets_strays = true}
rejected_late(there, here)
eventually(function() return #lb:sessions() end, 0, "its session ends", forget + 2)
expect(there.state, "ESTABLISHED", "reading 2: it says nothing until something comes")
there:send(10)
eventually(there, "state", "CLOSE")
expect(there:so_error(), "ECONNRESET")
expect(here.state, "ESTABLISHED", "the server still has a connection that nobody else has")

there, here = open{checks_rst = true}
rejected_late(there, here)
expect(lb:sessions()[#lb:sessions()].state, "OPEN", "a box that checks the number is not fooled")

-- The rule at the end host, right behind the box.
local function rst(ahead)
	back:inject(lb, {flags = "RST", from = "10.0.0.1:" .. there.port, to = "10.0.1.2:80", seq = there.snd_nxt + ahead})
	pause(0.02)
	return here.state
end
local sent = back:count(server)
expect(rst(-1000), "ESTABLISHED")
expect(rst(10000000), "ESTABLISHED")
expect(back:count(server), sent, "outside the window: no answer at all")
expect(rst(10), "ESTABLISHED", "in the window, not exact")
expect(server.TCPChallengeACK, 1, "asked back: RFC 5961, since 3.6")
expect(back:count(server), sent + 1)

-- And the client's firewall again, now to data that is not late: its RST has the number that the segment acknowledged.
client:reject{place = "in", from_port = 80}
here:send(100)
eventually(here, "state", "CLOSE", "exact: the rejected connection is gone")
client:clear_rules()
expect(here:so_error(), "ECONNRESET")
pause(0.02)
expect(back:count(server), sent + 2, "the data; a RST is not acknowledged")

there, here = open{checks_rst = true}
there:send(100)
eventually(there, "unacked", 0)
front:drop(client, "data")
there:set("SO_LINGER0", true)
there:send(100)
there:close()
eventually(here, "state", "CLOSE")
expect(here:recv(), 100, "what had arrived is read first")
expect(here:try_recv(), "ECONNRESET", "what had not is gone with the sender's buffer")
