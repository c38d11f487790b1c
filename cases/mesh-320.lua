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
local switch, nodes, address = box "switch", {}, {}
for i = 1, NODES do
	nodes[i], address[i] = host("node" .. i), "10.0." .. i // 256 .. "." .. i % 256
	link(nodes[i], address[i], switch, "", {delay = 50e-6, untapped = true})
end
local function sum(list, field)
	local n = 0
	for _, each in ipairs(list) do n = n + each[field] end
	return n
end

-- So many nodes. Each pair once, or in both directions; they begin within so many seconds, and are looked at half
-- a second later and at the end. Who has ghosts is stuck: it waits for an answer on a connection that is none.
local port, apps = 7000, {}
figures("connections", "backlog", "within, s", "ghosts", "at the end", "stuck nodes", "slow")
local function start(n, backlog, both_ways, within, more)
	for _, app in ipairs(apps) do app:stop() end
	pause(0.3)
	port, apps = port + 1, {}
	for i = 1, n do
		nodes[i]:sysctl("net.core.somaxconn", backlog)
		nodes[i]:serve(address[i] .. ":" .. port, {backlog = backlog, accept_every = 0.001})
	end
	for i = 1, both_ways and n or n - 1 do
		local to = {}
		for k = i + 1, both_ways and i + n - 1 or n do
			to[#to + 1] = address[(k - 1) % n + 1] .. ":" .. port
		end
		apps[#apps + 1] = nodes[i]:load{to = to, total = #to, begin = within * math.random()}
	end
	pause(within + 0.5)
	local first = ghosts()
	pause(more)
	local left, stuck = ghosts()
	local established, slow = sum(apps, "established"), sum(apps, "slow")
	figures(sum(apps, "opened"), backlog, within, first, left, stuck, slow)
	return first, left, slow, established
end

local first, left, slow, established = start(100, 128, false, 2, 0)
expect(first + left, 0, "100 nodes have at most 99 callers each: a backlog of 128 is above the crowd")
expect(established, 4950)
apart "what a full queue drops is decided within microseconds; and 320 namespaces are too many"
first, left = start(100, 4, false, 0, 2)
expect(sum(nodes, "ListenOverflows") > 0, true, "a backlog of 4 is not")
expect(left > 0, true, "nodes wait on connections that are none")
if stage == "kernel" then return end

first, left = start(320, 4096, true, 0, 9.5)
expect(first + left, 0, "a backlog above the crowd: no ghost, even with twice the connections")
first, left, slow = start(320, 128, false, 0.1, 9.4)
expect(first > 0, true, "the queue fills between a SYN and its ACK: ghosts on every release")
expect(slow > 0, true)
expect(left, 0, "the SYN-ACK is repeated: once there is room each ghost becomes a connection")
local before = sum(nodes, "SyncookiesSent")
first, left = start(320, 128, false, 0, 9.5)
expect(left, has "syn-queue-backlog" and 17955 or 2016, "of each node's callers those beyond 129 (before 4.4: 256)")
local sent = sum(nodes, "SyncookiesSent") - before
expect_between(left, 0.95 * sent, sent, "they got a cookie, of which nothing is kept or repeated: ghosts for ever")
