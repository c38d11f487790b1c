-- bind() to port 0: the kernel chooses. Since 4.6 it draws among the odd offsets of the range and takes the even ones,
-- which connect() prefers, when none of those is left. 3.10 starts anywhere and goes up, port after port.
case {
	about  = "which port does bind() to port 0 give?",
	claim  = "random start, then upward; a port in use is taken if it can be shared, the least shared first",
	truth  = "true on 3.10; today odd offsets first, halves with SO_REUSEADDR, and nothing is shared",
	source = "R1",
}
local host = host("host")
local function range(low, high) host:sysctl("net.ipv4.ip_local_port_range", low .. " " .. high) end
local function choose(options)
	local s = host:socket(options)
	local result = s:try_bind("0.0.0.0:0")
	return result == "ok" and s.port or result, s
end
-- Draws n ports, counts those of odd offset and those below half, and gives them back unless they are kept.
local function draw(n, options, keep)
	local odd, lower, outside = 0, 0, 0
	for _ = 1, n do
		local port, s = choose(options)
		odd, lower = odd + (port & 1), lower + (port < 40050 and 1 or 0)
		if port < 40000 or port > 40099 then outside = outside + 1 end
		if not keep then s:close() end
	end
	expect(outside, 0, n .. " draws: never a port outside the range")
	return odd, lower
end

range(40000, 40099)
local odd, lower = draw(100)
if has "bind-any-parity" then expect(odd, 100, "odd offsets while there are any")
else expect_between(odd, 25, 75, "any port") end
odd, lower = draw(100, {SO_REUSEADDR = true})
if has "bind-any-parity" then expect(lower, 100, "with SO_REUSEADDR from the lower half while there are any")
else expect_between(lower, 25, 75, "SO_REUSEADDR changes nothing") end
expect(draw(100, nil, true), 50, "all hundred: each port once")
expect(choose(), "EADDRINUSE", "nothing is left, and it is bind() that says so")
expect(host:socket():try_bind("0.0.0.0:39999"), "ok", "an explicit port may be outside the range")

range(41000, 41003)
host:sysctl("net.ipv4.ip_local_reserved_ports", "41001-41002")
local a, b = choose(), choose()
expect(a + b, 41000 + 41003, "reserved ports are passed over")
expect(choose(), "EADDRINUSE")
expect(host:socket():try_bind("0.0.0.0:41001"), "ok", "who names a reserved port gets it")

range(42000, 42002)
local first, second = choose(), choose()
expect(choose(), has "bind-any-parity" and "EADDRINUSE" or 42000 * 3 + 3 - first - second,
	"of an odd number of ports the last is never chosen (4.6)")

-- Nothing is free, but two ports could be shared: 43000 has two owners, 43001 one.
range(43000, 43001)
local REUSE = {SO_REUSEADDR = true}
for _, port in ipairs {43000, 43000, 43001} do host:socket(REUSE):bind("0.0.0.0:" .. port) end
expect(choose(REUSE), has "bind-any-apart" and "EADDRINUSE" or 43001, "the least shared, until 4.10")
if has "autobind-reuse" then
	host:sysctl("net.ipv4.ip_autobind_reuse", 1)
	expect_between(choose(REUSE), 43000, 43001, "ip_autobind_reuse=1 shares again (5.7)")
end
