-- One cause, four voices: an old instance still listens on 8080, and the new one says so in its own words. Not all of
-- them name the port. What the log says is asked of the host; the answer is the same.
case {
	about  = "four ways in which Java servers say that their port is taken",
	claim  = "four messages are four errors to look up",
	truth  = "all are EADDRINUSE from bind(); a message without a port is asked for with the lines around it",
	source = "R0",
}
local server = host("server")
local old = server:listen("0.0.0.0:8080", 100, {SO_REUSEADDR = true})

-- "ay" is as the Tomcat of that day wrote it.
local voices = {
	{"jetty", "Failed to start jetty server at port 8080, cause: Address already in use"},
	{"spring-boot", "Embedded servlet container failed to start. Port 8080 was already in use."},
	{"tomcat-embedded", "The Tomcat connector configured to listen on port 8080 failed to start. " ..
		"The port ay already be in use or the connector may be misconfigured."},
	{"tomcat-embedded", "The Tomcat connector configured to listen on port 8080 failed to start. " ..
		"The port may already be in use or the connector may be misconfigured."},
}
local NETTY = "Caused by: java.net.BindException: Address already in use"

-- The failed call made again, with the option that the format's program sets.
local function ask(hit) return server:socket{SO_REUSEADDR = hit.reuseaddr}:try_bind("0.0.0.0:" .. hit.port) end

for _, voice in ipairs(voices) do
	local format, text = table.unpack(voice)
	local hits = read_log("INFO starting\n" .. text .. "\n")
	expect(#hits, 1, text)
	expect(hits[1].format, format, "it is recognised")
	expect(hits[1].call .. "(): " .. hits[1].error, "bind(): EADDRINUSE", "its call and its error are the same")
	expect(hits[1].port, 8080, "its port is read")
	expect(ask(hits[1]), "EADDRINUSE", "and bind() says the same: a listener shares with nobody")
end

local alone = read_log(NETTY)[1]
expect(alone.format .. ": " .. alone.error, "java: EADDRINUSE", NETTY)
expect(alone.port, nil, "no port is told, and none is guessed")
local hit = read_log(NETTY .. "\n" .. voices[1][2] .. "\n")[1]
expect(hit.port, 8080, "a line beside it tells the port")
expect(hit.from_context, true)
expect(ask(hit), "EADDRINUSE")

old:close()
expect(ask(hit), "ok", "all four go with the cause")
