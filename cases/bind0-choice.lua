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

-- All but ten neighbours are in use: a walk that goes upward meets the lowest of them first, wherever it began, unless
-- it began among them. An empty range shows that it begins anywhere.
range(46000, 46199)
local seen, different, before, rising = {}, 0, 0, 0
for _ = 1, 20 do
	local port, s = choose()
	if not seen[port] then different = different + 1 end
	if port == before + (has "bind-any-parity" and 2 or 1) then rising = rising + 1 end
	seen[port], before = true, port
	s:close()
end
expect_between(different, 10, 20, "20 draws: the start is drawn anew each time")
expect_between(rising, 0, 5, "and is not the port after the last one")
for port = 46000, 46199 do
	if port < 46100 or port > 46109 then host:socket():bind("0.0.0.0:" .. port) end
end
local free, in_turn = {}, 0
for _, offset in ipairs(has "bind-any-parity" and {1, 3, 5, 7, 9, 0, 2, 4, 6, 8} or {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) do
	free[#free + 1] = 46100 + offset
end
for _ = 1, 10 do
	local port = choose()
	if port == free[1] then in_turn = in_turn + 1 end
	for i = #free, 1, -1 do
		if free[i] == port then table.remove(free, i) end
	end
end
expect(#free, 0)
expect_between(in_turn, 6, 10, has "bind-any-parity" and "upward, the odd ones and then the even ones"
	or "upward, port after port")

-- With SO_REUSEADDR one half after the other, in each the odd offsets first; until 4.10 it shares before it goes on.
if has "bind-any-apart" then
	range(45000, 45019)
	local passes = {}
	for i = 1, 20 do
		local port = choose {SO_REUSEADDR = true}
		local pass = (port < 45010 and "lower" or "upper") .. (port % 2 == 1 and " odd" or " even")
		if pass ~= passes[#passes] then table.insert(passes, pass) end
	end
	expect(table.concat(passes, ", "), "lower odd, lower even, upper odd, upper even", "SO_REUSEADDR: the halves in turn")
end

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

-- 3.10 counts the bound sockets of the machine (bsockets) and looks sooner for a port to share if there are more of
-- them than ports in the range, as here. It takes none that way but what would have been free to it anyhow.
range(44000, 44003)
host:socket(REUSE):bind("0.0.0.0:44000")
local three = choose(REUSE) + choose(REUSE) + choose(REUSE)
if has "bind-any-apart" or not has "bind-any-parity" then -- in between each half shares before the next one is asked
	expect(three, 44001 + 44002 + 44003, "what is free goes before what can be shared")
end
expect(choose(REUSE) == "EADDRINUSE", has "bind-any-apart", "then it is shared, until 4.10")
if has "autobind-reuse" then
	range(43000, 43001)
	host:sysctl("net.ipv4.ip_autobind_reuse", 1)
	expect_between(choose(REUSE), 43000, 43001, "ip_autobind_reuse=1 shares again (5.7)")
end
