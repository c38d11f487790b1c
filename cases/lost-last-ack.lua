-- The first reason for TIME_WAIT: the last ACK may be lost. The peer then repeats its FIN, and TIME_WAIT answers it, so
-- the peer leaves LAST_ACK cleanly. Without TIME_WAIT it gets a RST.
case {
	about  = "the last ACK is lost: TIME_WAIT answers the repeated FIN",
	claim  = "TIME_WAIT lasts 2 x MSL, and can be tuned",
	truth  = "60 s on Linux, not tunable; without it the peer ends with ECONNRESET",
	source = "R0",
}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80")

-- The client says first that it has nothing more, and its ACK of the server's FIN does not arrive.
local function close_without_last_ack()
	local there = client:connect("10.0.0.2:80")
	local here = listener:accept()
	there:shutdown()
	expect(here:recv(), 0)
	local lost = wire:drop(client, "ACK -FIN", {times = 1})
	here:shutdown()
	eventually(lost, "fired", 1, "the last ACK is lost")
	there:close()
	return here
end

local here = close_without_last_ack()
expect(here.state, "LAST_ACK")
eventually(here, "state", "CLOSE", "the FIN is repeated and answered: LAST_ACK ends")
expect(here:so_error(), "ok")
expect(client.TIME_WAIT, 1)

client:sysctl("net.ipv4.tcp_max_tw_buckets", 0)
here = close_without_last_ack()
eventually(here, "state", "CLOSE", "no TIME_WAIT: the repeated FIN meets a RST")
expect(here:so_error(), "ECONNRESET")
expect(client.TIME_WAIT, 1, "the one from before")

-- Two that end in order, one of them with tcp_fin_timeout=1. They are gone when their timer fires: the kernel's clock
-- rounds one of a minute up, by two seconds or by five.
client:sysctl("net.ipv4.tcp_max_tw_buckets", 1000)
listener = server:listen("10.0.0.2:81")
local function left() return client:count("TIME_WAIT", nil, 81) end
for n, seconds in ipairs {60, 1} do
	client:sysctl("net.ipv4.tcp_fin_timeout", seconds)
	local there = client:connect("10.0.0.2:81")
	here = listener:accept()
	there:close()
	expect(here:recv(), 0)
	here:close()
	eventually(left, n)
end
local begun = now()
apart "the kernel rounds its timers up: one is counted later"
pause(59)
expect(left(), 2, "after 59 s both are there: tcp_fin_timeout is of FIN_WAIT2")
eventually(left, 0, "and then gone", 8)
expect_between(now() - begun, 59.9, 65.5, "60 s: not 2 x MSL of some table, and no sysctl changes it")
