-- A server was stopped and is started again on its port. Who closed the last connection, what both servers were bound
-- to, and which of them had the option: all cells of the matrix. The TIME_WAIT has the option that its listener had.
case {
	about  = "SO_REUSEADDR or SO_REUSEPORT before and after a restart: which cells of the matrix can bind()?",
	claim  = "bound to a specific address, the option on the second server alone is enough",
	truth  = "both servers need it, unless the client closed first; on 6.1.0 to 6.1.4 a bug hides the TIME_WAIT",
	source = "R3",
}
local host = host("host")
local port, time_waits = 8000, 0

local function serve(address, options, server_first)
	local listener = host:listen(address .. ":" .. port, 8, options)
	local there = host:connect("127.0.0.1:" .. port)
	local here = listener:accept()
	local first, second = here, there
	if not server_first then first, second = there, here end
	first:close()
	second:recv()
	second:close()
	listener:close()
	time_waits = time_waits + 1
	eventually(function() return host.TIME_WAIT - host.LAST_ACK end, time_waits, "port " .. port .. " was served")
end

local yes_no = {[true] = "with", [false] = "without"}
for _, option in ipairs {"SO_REUSEADDR", "SO_REUSEPORT"} do
	for _, server_first in ipairs {false, true} do
		for cell = 0, 15 do
			local before, after = cell & 1 ~= 0, cell & 2 ~= 0
			local first = cell & 4 ~= 0 and "0.0.0.0" or "127.0.0.1"
			local second = cell & 8 ~= 0 and "0.0.0.0" or "127.0.0.1"
			local unseen = has "time-wait-hidden" and second == "127.0.0.1"
			local free = not server_first or before and after or unseen
			port = port + 1
			serve(first, {[option] = before}, server_first)
			expect(host:socket{[option] = after}:try_bind(second .. ":" .. port), free and "ok" or "EADDRINUSE",
				(server_first and "server" or "client") .. " closed first; " .. option .. ": " .. first .. " " ..
				yes_no[before] .. ", then " .. second .. " " .. yes_no[after])
		end
	end
end

-- One has this, the other that: they are not the same permission.
for _, mixed in ipairs{{"SO_REUSEADDR", "SO_REUSEPORT"}, {"SO_REUSEPORT", "SO_REUSEADDR"}} do
	port = port + 1
	serve("0.0.0.0", {[mixed[1]] = true}, true)
	expect(host:socket{[mixed[2]] = true}:try_bind("0.0.0.0:" .. port), "EADDRINUSE",
		"server closed first; first " .. mixed[1] .. ", second " .. mixed[2])
end
