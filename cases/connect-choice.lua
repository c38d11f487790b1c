-- connect() without bind(): how the kernel goes from one port to the next. One counter for the machine made the next
-- port easy to foretell; today each destination has its own, with steps that are drawn.
case {
	about  = "which port does connect() take after the last one?",
	claim  = "connect() always increments from the last choice",
	truth  = "by 1 on 3.10, later by 2; since 5.12 (4.9.y) by 2 to 16, and since 5.18 elsewhere every ten seconds",
	source = "R1",
}
-- Addresses of its own: the counter of a destination is the machine's, so the same one in another namespace moves it.
local LOW, N = 40000, 1000
local client, server = pair("client 192.0.2.61", "server 192.0.2.62 192.0.2.63")
client:sysctl("net.ipv4.ip_local_port_range", LOW .. " " .. LOW + N - 1)
server:sysctl("net.core.somaxconn", 4096) -- 128 before 5.4
server:listen("0.0.0.0:6180")

local last = client:connect("192.0.2.62:6180").port
local function step()
	local before = last
	last = client:connect("192.0.2.62:6180").port
	return (last - before) % N
end
local function is_drawn(by) return by >= 2 and by <= 16 and by % 2 == 0 end
local function goes_on(by)
	if has "perturb-table" then return is_drawn(by) end
	return by == (has "connect-parity" and 2 or 1)
end

local each, small, kinds, odd = {}, 0, 0, 0
for _ = 1, 20 do
	local by = step()
	if not each[by] then kinds = kinds + 1 end
	each[by] = (each[by] or 0) + 1
	small = small + (is_drawn(by) and 1 or 0)
	odd = odd + (last - LOW) % 2
end
if has "perturb-table" then
	-- The ten seconds may end meanwhile: then one step leads anywhere.
	expect_between(small, has "start-rekeyed" and 19 or 20, 20, "steps of 2, 4, ... 16 ports")
	expect_between(kinds, 2, 9, "which are drawn: not always the same")
elseif has "connect-parity" then
	expect(each[2], 20, "always the next but one")
else
	expect(each[1], 20, "always the next")
end
expect(odd, has "connect-parity" and 0 or 10, has "connect-parity"
	and "even offsets while there are any: bind() to port 0 takes the odd ones" or "every other one is odd")

-- Another destination starts elsewhere. Whether a hundred connections there move the next port here is the difference.
local function step_after_others()
	for _ = 1, 100 do client:connect("192.0.2.63:6180") end
	return step()
end
if has "perturb-table" then
	local once, again = is_drawn(step_after_others()), is_drawn(step_after_others())
	expect(once or again, true, "a counter for each destination: a hundred others leave no trace")
else
	expect(step_after_others(), has "connect-parity" and 202 or 101, "one counter for all: a hundred others are seen here")
end

local far = 0
for _ = 1, 3 do
	pause(10)
	if not goes_on(step()) then far = far + 1 end
end
if has "start-rekeyed" then expect_between(far, 1, 3, "ten seconds later the start is elsewhere")
else expect(far, 0, "ten seconds later it goes on from there") end
