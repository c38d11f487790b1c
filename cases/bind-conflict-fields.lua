-- Two sockets want one port. Field by field of the kernel's conflict rule: a pair that differs in it and passes, and one
-- beside it that does not. Each pair has a port of its own.
case {
	about  = "the fields that decide whether two sockets conflict, one at a time",
	claim  = "the bound device cannot be set, and reuseport_cb_ok says that the kernel knows SO_REUSEPORT",
	truth  = "SO_BINDTODEVICE sets it; reuseport_cb_ok is about a BPF program that steers a SO_REUSEPORT group",
	source = "R0",
}
local server, left, right = host("server"), host("left"), host("right")
local A = link(server, "10.0.0.2", left, "10.0.0.1")
local B = link(server, "10.0.1.2", right, "10.0.1.1")
local ADDR, PORT, NONE = {SO_REUSEADDR = true}, {SO_REUSEPORT = true}, {}
local OTHER = {SO_REUSEPORT = true, uid = 1000}
local ON_A, ON_B = {SO_BINDTODEVICE = A}, {SO_BINDTODEVICE = B}
local LISTENS, STEERED = true, {SO_REUSEPORT = true, SO_ATTACH_REUSEPORT_CBPF = true}

local pairs_of_sockets = {
	{"nothing set",                                NONE, false, NONE, "EADDRINUSE"},
	{"device: two devices, both listen",           ON_A, LISTENS, ON_B, "ok"},
	{"device: the same",                           ON_A, false, ON_A, "EADDRINUSE"},
	{"device: one has none",                       ON_A, false, NONE, "EADDRINUSE"},
	{"reuse: both",                                ADDR, false, ADDR, "ok"},
	{"reuse: only the new one",                    NONE, false, ADDR, "EADDRINUSE"},
	{"reuse: only the old one",                    ADDR, false, NONE, "EADDRINUSE"},
	{"state: the old one listens",                 ADDR, LISTENS, ADDR, "EADDRINUSE"},
	{"reuseport: both",                            PORT, false, PORT, "ok"},
	{"reuseport: state does not matter",           PORT, LISTENS, PORT, "ok"},
	{"reuseport: one has reuse instead",           PORT, false, ADDR, "EADDRINUSE"},
	{"uid: another user's",                        PORT, LISTENS, OTHER, "EADDRINUSE"},
	{"uid: the same user's",                       OTHER, LISTENS, OTHER, "ok"},
}
if has "reuseport-groups" then
	table.insert(pairs_of_sockets, {"reuseport_cb_ok: a steered group is joined", STEERED, LISTENS, PORT, "ok"})
	table.insert(pairs_of_sockets, {"reuseport_cb_ok: the new one brings a program", PORT, LISTENS, STEERED, "EADDRINUSE"})
end
for i, row in ipairs(pairs_of_sockets) do
	local name, old, listens, new, want = table.unpack(row)
	local first = server:socket(old)
	first:bind("0.0.0.0:" .. 8000 + i)
	if listens then first:listen() end
	local second = server:socket(new)
	expect(second:try_bind("0.0.0.0:" .. 8000 + i), want, name)
	if listens and want == "ok" then expect(second:try_listen(), "ok", name .. ": listen(), too") end
end

-- relax and reuseport_ok are no fields of a socket: they say that the port was asked for. bind() to port 0 shares
-- less: the same two sockets, once with the port named, once with a range of that port alone.
local function twice(port, options, chosen, name, newer)
	server:sysctl("net.ipv4.ip_local_port_range", port .. " " .. port)
	server:socket(options):bind("0.0.0.0:" .. port)
	expect(server:socket(options):try_bind("0.0.0.0:" .. port), "ok", name .. ": the port is named, and shared")
	expect(server:socket(options):try_bind("0.0.0.0:0"), chosen, name .. ": the kernel may not choose one to share " .. newer)
end
twice(40000, ADDR, has "bind-any-apart" and "EADDRINUSE" or "ok", "relax", "(4.11)")
twice(40001, PORT, has "reuseport-asked" and "EADDRINUSE" or "ok", "reuseport_ok", "(4.10 or 4.11)")
