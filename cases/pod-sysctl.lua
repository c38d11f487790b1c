-- The node's net.ipv4 values are not the pod's: a pod has a network namespace of its own, which begins with the
-- kernel's defaults. An init step sets the value there and ends; the application gains no privilege by it. Two other
-- ways lead there: securityContext.sysctls, if the kubelet's allowedUnsafeSysctls has the name, and the CNI plugin tuning.
case {
	about  = "tcp_tw_reuse is 1 on the node: what has the pod, and how does it get it?",
	claim  = 'command: ["sysctl -w net.ipv4.tcp_tw_reuse=1 && exit"] in an init container sets it',
	truth  = "without a shell that is one word, and no program has that name: ENOENT",
	source = "R0",
}
local NAME = "net.ipv4.tcp_tw_reuse"
local node, pod = pair("node 10.0.0.1", "pod 10.0.0.2")
local before = pod:sysctl(NAME)

node:sysctl(NAME, 1)
expect(node:sysctl(NAME), 1)
expect(pod:sysctl(NAME), before, "the pod does not inherit what the node sets")
expect(pod:sysctl(NAME), has "tw-reuse-loopback" and 2 or 0, "it has the kernel's default")
if stage == "kernel" then
	local _, shown = node:run(words "unshare -n cat /proc/sys/net/ipv4/tcp_tw_reuse")
	expect(shown, pod:sysctl(NAME) .. "\n", "so has a namespace that is made later, by the node itself")
end

-- One port, and the pod closes first: what the sysctl decides, each time more than a second later.
local listener = node:listen("10.0.0.1:80")
pod:sysctl("net.ipv4.ip_local_port_range", "40000 40000")
local function connect()
	local s = pod:socket()
	local result = s:try_connect("10.0.0.1:80")
	if result == "ok" then
		local here = listener:accept()
		s:close()
		here:recv()
		here:close()
		eventually(pod, "TIME_WAIT", 1)
		pause(has "tw-reuse-tick" and 1.1 or 2.1)
	end
	return result
end
connect()
expect(connect(), "EADDRNOTAVAIL", "the pod's own TIME_WAIT stands in its way")

-- The first cure, as an init container runs it: in the pod's namespace, without a shell unless the words name one.
if stage == "kernel" then
	expect(pod:try_run("sysctl -w net.ipv4.tcp_tw_reuse=1 && exit"), "ENOENT", "one word: no program has that name")
	local _, shown = node:run(words "tcpwhy fix yaml init-container --kube 1.29 --json net.ipv4.tcp_tw_reuse=1")
	local argv = read_json(shown).argv
	expect(pod:try_run(table.unpack(argv)), 0, "what fix yaml says, verbatim: " .. table.concat(argv, " "))
	local application = "setpriv --reuid=65534 --clear-groups "
	if pod:try_run(words(application .. "true")) == 0 then
		local status, why = pod:run(words(application .. "sysctl -w " .. NAME .. "=0"))
		expect(status ~= 0 and pod:sysctl(NAME), 1, "the application may not: " .. why:sub(1, -2))
	else
		note("who plays this has no other user to be: what the application may was not tried", pod)
	end

	-- The two others, which a kubelet and a network carry out.
	local function yaml(kind)
		local _, text = node:run(words("tcpwhy fix yaml " .. kind .. " --json " .. NAME .. "=1"))
		return read_json(text)
	end
	expect(yaml("sysctl --kube 1.29").answer, "refused", "securityContext.sysctls: not on the list of safe ones")
	local allowed = yaml "sysctl --kube 1.29 --unsafe"
	expect(allowed.kubelet, "--allowed-unsafe-sysctls=" .. NAME, "the kubelet must be told")
	expect(allowed.yaml:find("sysctls:\n      - name: " .. NAME .. "\n        value: \"1\"") ~= nil, true, "and what it says to the pod")
	local plugin = yaml("cni-tuning").cni
	expect(plugin.type .. " " .. NAME .. "=" .. plugin.sysctl[NAME], "tuning " .. NAME .. "=1", "the CNI plugin tuning")
else
	pod:sysctl(NAME, 1)
end
expect(connect(), "ok", "connect() in the pod takes its TIME_WAIT over")
node:sysctl(NAME, 0)
expect(pod:sysctl(NAME), 1, "the two are apart in both directions")
pod:sysctl(NAME, before)
expect(connect(), "EADDRNOTAVAIL", "a new pod, without the init container")

-- The second, for a pod that runs: from the node, into the namespace of one of its processes.
local host, of = pod, ""
if stage == "kernel" then host, of = node, " --pid " .. pod:spawn(words "sleep 60") end
host:cure("fix sysctl " .. NAME .. "=1" .. of)
expect(connect(), "ok", "fix sysctl --pid")
host:undo()
expect(connect(), "EADDRNOTAVAIL", "undone: as before")
expect(node:sysctl(NAME), 0, "and the node was left alone")
