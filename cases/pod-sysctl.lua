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
expect(pod:sysctl(NAME), before, "the pod does not inherit what the node sets")
expect(pod:sysctl(NAME), has "tw-reuse-loopback" and 2 or 0, "it has the kernel's default")

-- As an init container runs it: in the pod's namespace, and without a shell unless the words name one.
local CLAIMED = {"sysctl -w net.ipv4.tcp_tw_reuse=1 && exit"}
local DIRECT = {"sysctl", "-w", "net.ipv4.tcp_tw_reuse=1"}
local SHELL = {"sh", "-c", "sysctl -w net.ipv4.tcp_tw_reuse=1"}
if stage == "kernel" then
	expect(pod:try_run(table.unpack(CLAIMED)), "ENOENT", "one word: there is no program of that name")
	for _, words in ipairs {DIRECT, SHELL} do
		pod:sysctl(NAME, before)
		expect(pod:run(table.unpack(words)), 0, table.concat(words, " "))
		expect(pod:sysctl(NAME), 1, "it is set, and the init step has ended")
	end
	local status, shown = pod:run("setpriv", "--reuid=65534", "--clear-groups", "sysctl", "-w", NAME .. "=0")
	expect(status ~= 0 and pod:sysctl(NAME), 1, "the application may not: " .. shown:sub(1, -2))
else
	pod:sysctl(NAME, 1)
end

-- The pod's value acts in the pod; the node keeps its own.
node:sysctl(NAME, 0)
expect(pod:sysctl(NAME), 1, "the two are apart in both directions")
local listener = node:listen("10.0.0.1:80")
pod:sysctl("net.ipv4.ip_local_port_range", "40000 40000")
local there = pod:connect("10.0.0.1:80")
local here = listener:accept()
there:close()
here:recv()
here:close()
eventually(pod, "TIME_WAIT", 1)
pause(has "tw-reuse-tick" and 1.1 or 2.1)
expect(pod:socket():try_connect("10.0.0.1:80"), "ok", "connect() in the pod takes its TIME_WAIT over")
expect(node:sysctl(NAME), 0)
