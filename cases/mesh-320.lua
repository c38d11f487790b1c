-- A database of 320 nodes starts: all connect to each other, and accept one connection a millisecond. Where the accept
-- queue is shorter than the crowd, nodes believe in connections that the other side never had.
case {
	about    = "320 nodes start at once: ghosts and stuck nodes, by release and backlog",
	claim    = "old kernels make ghosts; a new kernel has none",
	truth    = "a burst makes them on any: SYNs are answered while there is room. A backlog above the crowd cures it",
	source   = "R4",
	releases = "3.10 4.9.0 4.9.y 6.18.y",
	stages   = "world",
}
local NODES <const> = 320
local switch, nodes, address = box "switch", {}, {}
for i = 1, NODES do
	nodes[i], address[i] = host("node" .. i), "10.0." .. i // 256 .. "." .. i % 256
	link(nodes[i], address[i], switch, "", {delay = 50e-6, untapped = true})
end

-- Each pair once, or in both directions; the nodes begin within so many seconds. Who has ghosts is stuck: it waits for an
-- answer on a connection that is none.
local function start(port, backlog, both_ways, within)
	local apps, opened, slow = {}, 0, 0
	for i = 1, NODES do
		nodes[i]:sysctl("net.core.somaxconn", backlog)
		nodes[i]:serve(address[i] .. ":" .. port, {backlog = backlog, accept_every = 0.001})
	end
	for i = 1, both_ways and NODES or NODES - 1 do
		local to = {}
		for k = i + 1, both_ways and i + NODES - 1 or NODES do
			to[#to + 1] = address[(k - 1) % NODES + 1] .. ":" .. port
		end
		apps[#apps + 1] = nodes[i]:load{to = to, total = #to, begin = within * math.random()}
	end
	pause(0.5)
	local first = ghosts()
	pause(9.5)
	local left, stuck = ghosts()
	for _, app in ipairs(apps) do opened, slow = opened + app.opened, slow + app.slow end
	figures(opened, backlog, within, first, left, stuck, slow)
	return first, left, slow
end
figures("connections", "backlog", "within, s", "ghosts", "after 10 s", "stuck nodes", "slow")
local function cookies()
	local n = 0
	for _, node in ipairs(nodes) do n = n + node.SyncookiesSent end
	return n
end

local first, left = start(7001, 4096, true, 0)
expect(first + left, 0, "a backlog above the crowd: no ghost, even with twice the connections")
local slow
first, left, slow = start(7002, 128, false, 0.1)
expect(first > 0, true, "the queue fills between a SYN and its ACK: ghosts on every release")
expect(slow > 0, true, "a SYN that is dropped comes again after a second")
expect(left, 0, "the SYN-ACK is repeated: once there is room each ghost becomes a connection")
local before = cookies()
first, left = start(7003, 128, false, 0)
expect(left, has "syn-queue-backlog" and 17955 or 2016, "of each node's callers those beyond 129 (before 4.4: 256)")
local sent = cookies() - before
expect_between(left, 0.95 * sent, sent, "they got a cookie, of which nothing is kept or repeated: ghosts for ever")
