-- One server for every address and one for a particular one, on one port. BSD lets the more particular one have its
-- own with SO_REUSEADDR; on Linux a listener shares with nobody. Before listen() the two may stand side by side.
case {
	about  = "0.0.0.0 and one address on the same port, both with SO_REUSEADDR: can both listen?",
	claim  = "with SO_REUSEADDR a wildcard and a specific address do not conflict",
	truth  = "so it is on BSD; on Linux the second fails, in bind() or, if both bound first, in listen()",
	source = "R3",
}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2 10.0.0.3")
local REUSE = {SO_REUSEADDR = true}

for i, order in ipairs {{"0.0.0.0", "10.0.0.2"}, {"10.0.0.2", "0.0.0.0"}} do
	local port = ":" .. 8080 + i
	local words = order[1] .. ", then " .. order[2]
	local first, second = server:socket(REUSE), server:socket(REUSE)

	first:bind(order[1] .. port)
	expect(second:try_bind(order[2] .. port), "ok", words .. ": both may bind")
	expect(first:try_listen(), "ok", words .. ": the first may listen")
	expect(second:try_listen(), "EADDRINUSE", words .. ": listen() is the second gate")
	second:close()
	expect(server:socket(REUSE):try_bind(order[2] .. port), "EADDRINUSE", words .. ": beside a listener bind() fails")
end
server:listen("10.0.0.2:8090", 8, REUSE)
expect(server:socket(REUSE):try_bind("10.0.0.2:8090"), "EADDRINUSE", "the same address does")
expect(server:socket(REUSE):try_bind("10.0.0.3:8090"), "ok", "two particular addresses never conflict")

-- What does work for two listeners: SO_REUSEPORT on both, and the better match gets the connection.
local any = server:listen("0.0.0.0:8091", 8, {SO_REUSEPORT = true})
local one = server:listen("10.0.0.2:8091", 8, {SO_REUSEPORT = true})
client:connect("10.0.0.2:8091")
eventually(one, "accept_queue", 1, "the particular listener gets what is for its address")
client:connect("10.0.0.3:8091")
eventually(any, "accept_queue", 1, "the other gets the rest")
