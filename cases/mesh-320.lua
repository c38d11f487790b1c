-- A database of 320 nodes starts: all connect to each other, and accept one connection a millisecond. Where the accept
-- queue is shorter than the crowd, nodes believe in connections that the other side never had.
case {
	about    = "320 nodes start at once: ghosts and stuck nodes, by release and backlog",
	claim    = "old kernels make ghosts; a new kernel has none",
	truth    = "a burst makes them on any: SYNs are answered while there is room. A backlog above the crowd cures it",
	source   = "R4",
	releases = "3.10 4.9.0 4.9.y 6.18.y",
}
local NODES <const> = stage == "world" and 320 or 100 -- a kernel's hosts are namespaces
local switch, nodes, address, wires = box "switch", {}, {}, {}
for i = 1, NODES do
	nodes[i], address[i] = host("node" .. i), "10.0." .. i // 256 .. "." .. i % 256
	wires[i] = link(nodes[i], address[i], switch, "", {delay = 50e-6, untapped = true})
end
local function sum(list, field)
	local n = 0
	for _, each in ipairs(list) do n = n + each[field] end
	return n
end

-- So many nodes. Each pair once, or in both directions; they begin within so many seconds, and are looked at
-- once all are answered, and at the end. Who has ghosts is stuck: it waits for an answer on a connection that is none.
local apps, listens = {}, {}
figures("connections", "backlog", "in s", "ghosts", "at end", "stuck", "slow")
local function start(n, backlog, both_ways, within, more, every)
	for _, app in ipairs(apps) do app:stop() end
	pause(0.3)
	apps = {}
	local port = ":" .. 7000 + backlog
	for i = 1, n do
		local here = address[i] .. port
		nodes[i]:sysctl("net.core.somaxconn", backlog)
		listens[here] = listens[here] or nodes[i]:serve(here, {backlog = backlog, accept_every = every or 0.001})
	end
	for i = 1, both_ways and n or n - 1 do
		local to = {}
		for k = i + 1, both_ways and i + n - 1 or n do
			to[#to + 1] = address[(k - 1) % n + 1] .. port
		end
		apps[#apps + 1] = nodes[i]:load{to = to, total = #to, begin = within * math.random()}
	end
	pause(within + (every and 1.5 or 0.5))
	local first = ghosts()
	pause(more)
	local left, stuck = ghosts()
	local established, slow = sum(apps, "established"), sum(apps, "slow")
	figures(sum(apps, "opened"), backlog, within, first, left, stuck, slow)
	return first, left, stuck, slow, established
end

local first, left, stuck, slow, established = start(100, 128, false, 2, 0)
expect(first + left, 0, "100 nodes have at most 99 callers each: a backlog of 128 is above the crowd")
expect(established, 4950)

-- A round of 0.4 s: all SYNs of the crowd are there before the first ACK, also where real time passes between them.
apart "what a full queue drops is decided within microseconds; and 320 namespaces are too many"
for _, wire in ipairs(wires) do wire:set_delay(0.1) end
first, left, stuck = start(100, 4, false, 0, 2, 0.5)
for _, wire in ipairs(wires) do wire:set_delay(50e-6) end
expect(sum(nodes, "ListenOverflows") > 0, true, "a backlog of 4 is not")
local exact <const> = stage == "world" -- a busy kernel takes longer for its SYNs than a round, and then accepts some
expect_between(first, exact and 4371 or 500, exact and 4371 or 4600, "of each node's callers those beyond 6 are ghosts")
expect_between(left, exact and (has "syn-queue-backlog" and 4371 or 4186) or 500, exact and 4371 or 4600, "and stay so")
expect_between(stuck, 50, 99, "nodes wait on connections that are none")
if stage == "kernel" then return end

first, left, stuck, slow = start(320, 128, false, 0.1, 9.4)
expect(first > 0, true, "the queue fills between a SYN and its ACK: ghosts on every release")
expect(slow > 0, true)
expect(left, 0, "the SYN-ACK is repeated: once there is room each ghost becomes a connection")

-- All at once, 319 callers at most; the smallest and the largest backlog with twice the connections. Which one cures it?
local before, cure = sum(nodes, "SyncookiesSent")
for _, backlog in ipairs{128, 256, 512, 1024, 4096} do
	first, left = start(320, backlog, backlog == 128 or backlog == 4096, 0, 9.5)
	if backlog == 128 then
		local sent = sum(nodes, "SyncookiesSent") - before
		expect(first, 320 * (319 - 130), "of each node's callers those beyond 130")
		expect(left, has "syn-queue-backlog" and first or 22535, "before 4.4 those beyond 256")
		expect_between(sent / left, 0.85, 1.15, "they got a cookie, of which nothing is kept or repeated: ghosts for ever")
	end
	if first + left == 0 then cure = cure or backlog end
end
expect(cure, 512, "the smallest above 319 callers, and with it all that are larger")
expect(first + left, 0)
