/* SPDX-License-Identifier: MIT */
#include "logs/format.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

/* ---------------------------------------------------------------------------------------- reasons
 *
 * glibc's and musl's texts, in the case that the language writes them, and the names.
 */

static const struct {
	const char *part;
	int error;
} reasons[] = {
	{"n use", EADDRINUSE},     {"INUSE", EADDRINUSE},       {"inuse", EADDRINUSE},
	{"98", EADDRINUSE},        {"assign", EADDRNOTAVAIL},   {"not avail", EADDRNOTAVAIL},
	{"NOTAV", EADDRNOTAVAIL},  {"notavail", EADDRNOTAVAIL}, {"99", EADDRNOTAVAIL},
	{"refused", ECONNREFUSED}, {"REFUSED", ECONNREFUSED},   {"111", ECONNREFUSED},
	{"reset", ECONNRESET},     {"RESET", ECONNRESET},       {"104", ECONNRESET},
	{"timed out", ETIMEDOUT},  {"TIMEDOUT", ETIMEDOUT},     {"etimedout", ETIMEDOUT},
	{"timeout", ETIMEDOUT},    {"110", ETIMEDOUT},          {"timed_out", ETIMEDOUT},
};

static bool contains(const char *text, size_t length, const char *part)
{
	size_t n = text_length(part);

	for (size_t i = 0; i + n <= length; i++)
		if (!memcmp(text + i, part, n))
			return true;
	return false;
}

int log_reason(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (contains(text, length, reasons[i].part))
			return reasons[i].error;
	return 0;
}

/* -------------------------------------------------------------------------------- words of the
 * rows
 */

#define IN_USE    "[Aa]ddress (?:already )?in use"
#define NOT_AVAIL "[Cc](?:an ?not|an't) assign requested address|[Aa]ddress not available"
#define REFUSED   "[Cc]onnection refused"
#define RESET     "[Cc]onnection reset(?: by (?:remote )?peer)?"
#define TIMED_OUT "(?:[Cc]onnection|[Oo]peration) timed out"

#define WHY_LOCAL "(?<why>" IN_USE "|" NOT_AVAIL ")"
#define WHY_PEER  "(?<why>" NOT_AVAIL "|" REFUSED "|" RESET "|" TIMED_OUT ")"
#define WHY       "(?<why>" IN_USE "|" NOT_AVAIL "|" REFUSED "|" RESET "|" TIMED_OUT ")"
#define WHY_NAME  "(?<why>EADDRINUSE|EADDRNOTAVAIL|ECONNREFUSED|ECONNRESET|ETIMEDOUT)"

#define AT     "(?<at>[][\\w.:%/*-]{0,255}:\\d{1,5})(?!\\d)"
#define HOST   "(?<host>[][\\w.:%*-]{1,255})"
#define NUMBER "(?<host>[0-9a-fA-F.:]{2,45})"
#define PORT   "(?<port>\\d{1,5})(?!\\d)"

/* Ports of other kinds have numbers too. */
#define NOT_A_DEVICE                                                                               \
	"(?<![Uu][Ss][Bb] |[Ss]erial |[Pp]arallel |[Ss]witch |[Gg]uest |[Dd]isplay |VM |COM )"

#define BIND    TCPWHY_CALL_BIND
#define CONNECT TCPWHY_CALL_CONNECT
#define OTHER   TCPWHY_CALL_NONE

/* ---------------------------------------------------------------------------------------- the rows
 */

static const struct log_format formats[] = {
	/* What a system call tracer prints has everything, and looks like many others. */
	{"strace", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?<call>bind|connect)\\(\\d{1,9}, \\{sa_family=AF_INET6?, sin6?_port=htons\\(" PORT
	 "\\),.{0,160}?inet_(?:addr|pton)\\((?:AF_INET6, )?\"(?<host>[^\"]{0,60})\".{0,120}?= -1 "
	 "(?<why>E\\w{4,20})"},

	/* ---- Java */
	{"spring-boot", LOG_JAVA, BIND, LOG_REUSES, EADDRINUSE,
	 "(?:servlet container|[Ww]eb server) failed to start\\. Port " PORT " was already in use"},
	{"spring-boot", LOG_JAVA, BIND, LOG_REUSES, EADDRINUSE,
	 "PortInUseException: Port " PORT " is already in use"},
	{"tomcat-embedded", LOG_JAVA, BIND, LOG_REUSES, EADDRINUSE,
	 "Tomcat connector configured to listen on port " PORT
	 " failed to start\\. The port m?ay already be in use"},
	{"jetty", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "[Ff]ailed to start [Jj]etty server at port " PORT ".{0,60}?: " WHY_LOCAL},
	{"jetty", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "FAILED \\S{1,80}.{0,120}?[@{]" AT "\\}?: \\S{0,80}BindException: " WHY_LOCAL},
	{"tomcat", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "BindException: " WHY_LOCAL "(?: \\([^)]{0,40}\\))? (?:<null>|(?<host>[\\w.]{1,80}))"
	 ":" PORT},
	{"undertow", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "" WHY_LOCAL "(?: \\([^)]{0,40}\\))?(?:: bind)? /" AT},
	{"quarkus", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "Port(?:\\(s\\))? already bound: " PORT ".{0,20}: " WHY_LOCAL},
	{"quarkus", LOG_JAVA, BIND, LOG_REUSES, EADDRINUSE,
	 "\\bPort " PORT " seems to be in use by another process"},
	{"kafka", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "Socket server failed to bind to " AT ": " WHY_LOCAL},
	{"elasticsearch", LOG_JAVA, BIND, LOG_REUSES, 0,
	 "Failed to bind to (?:" HOST ":)?\\[?" PORT ".{0,80}?BindException(?:\\[|: )" WHY_LOCAL},
	{"netty", LOG_JAVA, CONNECT, 0, 0,
	 "Annotated\\w{1,30}Exception(?:: |\\[).{0,60}?" WHY ": " AT},
	{"netty", LOG_JAVA, CONNECT, 0, 0,
	 "ConnectTimeoutException: (?<why>connection timed out)(?: after \\d{1,9} ms)?: " AT},
	{"netty", LOG_JAVA, OTHER, 0, 0,
	 "\\b(?<call>\\w{1,30})\\(\\.\\.\\) failed(?: with error\\(-?\\d{1,3}\\))?: " WHY "(?:: " AT
	 ")?"},
	{"httpclient", LOG_JAVA, CONNECT, 0, 0,
	 "Connect to " AT " \\[[^]]{0,200}\\] failed: (?<why>" REFUSED "|" TIMED_OUT "|" NOT_AVAIL
	 "|[Cc]onnect timed out)"},
	{"java", LOG_JAVA, BIND, LOG_REUSES, 0, "\\bBindException(?:: |\\[)" WHY_LOCAL},
	{"java", LOG_JAVA, CONNECT, 0, 0,
	 "\\b(?:Connect|NoRouteToHost|HttpHostConnect|SocketTimeout)Exception: "
	 "(?<why>" REFUSED "|" TIMED_OUT "|" NOT_AVAIL "|[Cc]onnect timed out)(?:: " AT ")?"},
	{"java", LOG_JAVA, OTHER, 0, 0,
	 "\\bjava\\.(?:net\\.Socket|io\\.IO)Exception: (?<why>" RESET "|" TIMED_OUT ")"},

	/* ---- servers and proxies in C and C++ */
	{"nginx", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\bbind\\(\\) to " AT " failed \\(\\d{1,3}: " WHY_LOCAL},
	{"nginx", LOG_ALONE, BIND, 0, 0, "\\bbind\\(" HOST "\\) failed \\(\\d{1,3}: " WHY_LOCAL},
	{"nginx", LOG_ALONE, CONNECT, 0, 0,
	 "\\bconnect\\(\\) to " AT " failed \\(\\d{1,3}: " WHY_PEER},
	{"nginx", LOG_ALONE, CONNECT, 0, 0,
	 "(?:\\bconnect\\(\\) failed|upstream timed out) \\(\\d{1,3}: " WHY_PEER
	 "\\) while (?:connecting to upstream|SSL handshaking to upstream)"
	 "(?:.{0,8000}?upstream: \"\\w{1,12}://" AT ")?"},
	{"nginx", LOG_ALONE, OTHER, 0, 0,
	 "(?:\\b(?:recv|readv|send|writev|sendfile|SSL_\\w{1,20})\\(\\) failed|upstream timed out) "
	 "\\(\\d{1,3}: " WHY_PEER "\\) while (?!resolving)(?:.{0,8000}?upstream: \"\\w{1,12}://" AT
	 ")?"},
	{"openresty", LOG_ALONE, CONNECT, 0, ETIMEDOUT,
	 "lua tcp socket connect timed out, when connecting to " AT},
	{"openresty", LOG_ALONE, CONNECT, 0, 0,
	 "\\bconnect\\(\\) failed \\(\\d{1,3}: " WHY_PEER "\\), (?:client|context):"},
	{"openresty", LOG_ALONE, CONNECT, 0, 0,
	 "\\[lua\\] .{0,300}?\\bconnect\\b.{0,120}?(?:" AT ".{0,80}?)?" WHY_PEER},
	{"httpd", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\(\\d{1,3}\\)" WHY_LOCAL ": (?:AH\\d{5}: )?make_sock: could not bind to address " AT},
	{"httpd", LOG_ALONE, CONNECT, 0, 0,
	 "\\(\\d{1,3}\\)" WHY_PEER ": (?:AH\\d{5}: )?\\w{1,12}: attempt to connect to " AT},
	{"httpd", LOG_ALONE, OTHER, 0, 0,
	 "\\(\\d{1,3}\\)" WHY_PEER ": .{0,120}?AH\\d{5}: .{0,120}?(?:remote server " AT "|$)"},
	{"haproxy", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "cannot bind socket \\(" WHY_LOCAL "\\)(?: for)? \\[(?<at>[^]\\s]{1,80})\\]"},
	/* Up to 2.2 without the reason; this is the one for which it tries again before it says so.
	 */
	{"haproxy", LOG_ALONE, BIND, LOG_REUSES, EADDRINUSE,
	 "(?:frontend|proxy|listener|peers) \\S{1,200}: cannot bind socket "
	 "\\[(?<at>[^]\\s]{1,80})\\]"},
	{"haproxy", LOG_ALONE, CONNECT, 0, EADDRNOTAVAIL,
	 "\\bConnect\\(\\) failed for backend \\S{1,200}: no free ports"},
	{"haproxy", LOG_ALONE, CONNECT, 0, 0,
	 "reason: Layer[46] connection problem, info: \"(?:General socket error \\()?" WHY_PEER},
	{"envoy", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\bcannot bind '(?<at>[^'\\s]{1,80})': " WHY_LOCAL},
	{"envoy", LOG_ALONE, CONNECT, 0, 0,
	 "(?:delayed|immediate)[ _]connect[ _]error:[ _](?<why>(?:98|99|104|110|111)(?!\\d)|"
	 "[Cc]onnection[ _](?:refused|timed[ _]out)|[Cc]annot[ _]assign[ _]requested[ _]address)"},
	{"squid", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "[Cc]annot bind socket FD \\d{1,9} to " AT ": \\(\\d{1,3}\\) " WHY_LOCAL},
	{"varnish", LOG_ALONE, BIND, LOG_REUSES, 0, "Could not get socket " AT ": " WHY_LOCAL},
	{"lighttpd", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\(network\\.c[^)]{0,20}\\) .{0,40}?(?:" AT "|port: " PORT ")[: ]{1,2}" WHY_LOCAL},
	{"memcached", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "failed to listen on TCP port " PORT ": " WHY_LOCAL},
	{"postfix", LOG_ALONE, CONNECT, 0, 0,
	 "\\bconnect to [\\w.-]{0,255}\\[" NUMBER "\\]:" PORT ": " WHY_PEER},
	{"postfix", LOG_ALONE, BIND, LOG_REUSES, 0, "\\bbind " HOST " port " PORT ": " WHY_LOCAL},
	{"sshd", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\bBind to port " PORT " on " HOST " failed: " WHY_LOCAL},
	{"sshd", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?<why>Connection reset) by (?:[\\w ]{1,80} )??" NUMBER " port " PORT},
	{"ssh", LOG_ALONE, CONNECT, 0, 0, "\\bconnect to host " HOST " port " PORT ": " WHY_PEER},
	{"syslog-ng", LOG_ALONE, BIND, 0, 0,
	 "\\bsocket; addr='AF_INET6?\\(" AT "\\)', error='" WHY_LOCAL},

	/* ---- databases and queues */
	{"postgresql", LOG_POSTGRES, BIND, LOG_REUSES, 0,
	 "could not bind IPv[46] (?:address|socket)(?: \"(?<host>[^\"]{0,80})\")?: " WHY_LOCAL},
	{"postgresql", LOG_POSTGRES, CONNECT, 0, 0,
	 "connection to server at (?|\"[^\"]{0,255}\" "
	 "\\((?<host>[^)]{1,60})\\)|\"(?<host>[^\"]{0,255})\")"
	 ", port " PORT " failed: " WHY_PEER},
	{"postgresql", LOG_POSTGRES, CONNECT, 0, 0, "could not connect to server: " WHY_PEER},
	{"postgresql", LOG_POSTGRES, OTHER, 0, 0,
	 "could not (?:receive data from|send data to|write to) (?:client|server): " WHY_PEER},
	{"mysql", LOG_MYSQL, BIND, LOG_REUSES, 0,
	 "Bind on TCP/IP port(?:: |\\. Got error: \\d{1,3}: )" WHY_LOCAL},
	{"mysql", LOG_MYSQL, CONNECT, 0, 0,
	 "Can't connect to (?:\\w{1,12} )?server on '(?<host>[^':]{1,255})(?::" PORT ")?' "
	 "\\((?:\\[Errno )?(?<why>99|104|110|111)\\b"},
	{"redis", LOG_REDIS, BIND, LOG_REUSES, 0,
	 "TCP listening socket (?<at>[][\\w.:*%-]{0,80}:\\d{1,5}): (?:bind: )?" WHY_LOCAL},
	{"redis", LOG_REDIS, CONNECT, 0, 0, "Could not connect to Redis at " AT ": " WHY_PEER},
	{"redis", LOG_REDIS, CONNECT, 0, 0, "Error condition on socket for SYNC: " WHY_PEER},
	{"mongodb", LOG_MONGO, BIND, LOG_REUSES, 0,
	 "bind\\(\\) failed (?:errno:\\d{1,3} )?" WHY_LOCAL " for socket: " AT},
	{"mongodb", LOG_MONGO, BIND, LOG_REUSES, 0,
	 "(?:[Ss]et(?:ting)? up listener|initAndListen).{0,200}?" WHY_LOCAL},
	{"mongodb", LOG_MONGO, CONNECT, 0, 0,
	 "Error connecting to " AT "(?: \\([^)]{0,80}\\))? :: caused by :: " WHY_PEER},
	{"erlang", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "(?:\\{port,|\\bport[ :=]{1,3}|\\w:)" PORT
	 "\\b.{0,200}?\\b(?<why>eaddrinuse|eaddrnotavail)\\b"},
	{"erlang", LOG_ALONE, OTHER, 0, 0,
	 "(?:[{,]|reason:? |error:? "
	 ")(?<why>eaddrinuse|eaddrnotavail|econnrefused|econnreset|etimedout)\\b"},

	/* ---- containers and units */
	{"docker", LOG_ALONE, BIND, LOG_REUSES, EADDRINUSE,
	 "\\bBind for " AT " failed: port is already allocated"},
	{"docker", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\\bBind for " AT ": unexpected error \\(Failure " WHY_NAME},
	{"docker", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "host port (?:for )?(?<host>[\\d.]{7,15}|\\[[0-9a-fA-F:]{2,45}\\]):" PORT
	 "(?:/tcp|:\\S{1,80}/tcp): (?:bind: )?" WHY_LOCAL},
	{"docker", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "userland proxy: listen tcp[46]? " AT ": bind: " WHY_LOCAL},
	{"kubelet", LOG_ALONE, CONNECT, 0, 0,
	 "(?:(?:[Ll]iveness|[Rr]eadiness|[Ss]tartup) probe|probeType=).{0,800}?dial "
	 "tcp[46]? " AT ": (?:connect: )?(?<why>" REFUSED "|" TIMED_OUT "|" NOT_AVAIL "|" RESET
	 "|i/o timeout)"},
	{"kubelet", LOG_ALONE, BIND, LOG_REUSES | LOG_ANY6, 0,
	 "(?:kubelet|[Ff]ailed to listen and serve).{0,400}?listen tcp[46]? " AT
	 ": bind: " WHY_LOCAL},
	{"kubeadm", LOG_ALONE, BIND, LOG_REUSES, EADDRINUSE,
	 "\\[ERROR Port-\\d{1,5}\\]: Port " PORT " is in use"},
	{"systemd", LOG_SYSTEMD, BIND, LOG_REUSES, 0,
	 "Failed to create listening socket \\(" AT "\\): " WHY_LOCAL},
	{"systemd", LOG_SYSTEMD, BIND, LOG_REUSES, 0,
	 "Failed to (?:create listening socket|listen on sockets): " WHY_LOCAL},

	/* ---- languages and their servers */
	{"node", LOG_NODE, BIND, LOG_REUSES, 0,
	 "\\blisten (?<why>EADDRINUSE|EADDRNOTAVAIL):?(?: address (?:already in use|not "
	 "available):?)? "
	 "(?:null:" PORT "|" AT ")"},
	{"node", LOG_NODE, BIND, LOG_REUSES, 0,
	 "\\bbind (?<why>EADDRINUSE|EADDRNOTAVAIL) null:" PORT},
	/* dgram: a server of net says listen. */
	{"node", LOG_NODE, BIND, LOG_UDP, EADDRINUSE, "\\bbind EADDRINUSE[: ].{0,40}?:\\d{1,5}\\b"},
	{"node", LOG_NODE, CONNECT, 0, 0, "\\bconnect " WHY_NAME " " AT},
	{"node", LOG_NODE, OTHER, 0, 0,
	 "\\b(?:read|write) (?<why>ECONNRESET|ETIMEDOUT|ECONNREFUSED)\\b"},
	{"node", LOG_NODE, OTHER, LOG_REUSES, 0,
	 "\\bcode: '" WHY_NAME "', syscall: '(?<call>listen|connect)', "
	 "address: '(?<host>[^']{1,80})', port: " PORT},
	{"node", LOG_NODE, BIND, LOG_UDP, EADDRINUSE,
	 "\\bcode: 'EADDRINUSE', syscall: 'bind', address: '"},
	{"node", LOG_NODE, OTHER, LOG_DETAIL, 0, "\\bcode: '" WHY_NAME "'"},
	{"go", LOG_ALONE, BIND, LOG_REUSES | LOG_ANY6, 0,
	 "\\blisten tcp[46]? " AT ": (?:bind|listen): " WHY_LOCAL},
	{"go", LOG_ALONE, BIND, 0, 0,
	 "\\bdial tcp[46]? " AT "->[][\\w.:%-]{1,80}: bind: " WHY_LOCAL},
	{"go", LOG_ALONE, CONNECT, 0, 0,
	 "\\bdial tcp[46]? (?:[][\\w.:%-]{1,80}->)?" AT ": (?:connect: )?"
	 "(?<why>" REFUSED "|" TIMED_OUT "|" NOT_AVAIL "|" RESET "|i/o timeout)"},
	{"go", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?:read|write) tcp[46]? [][\\w.:%-]{1,80}->" AT
	 ": (?:read|write|sendfile|splice): " WHY_PEER},
	{"python", LOG_PYTHON, BIND, LOG_REUSES, 0,
	 "while attempting to bind on address \\('(?<host>[^']{0,80})', " PORT "[^)]{0,20}\\): "
	 "(?:\\[errno \\d{1,3}\\] )?" WHY_LOCAL},
	{"python", LOG_PYTHON, CONNECT, 0, 0,
	 "\\[Errno (?<why>99|104|110|111)\\] Connect call failed \\('(?<host>[^']{0,80})', " PORT},
	{"python", LOG_PYTHON, CONNECT, 0, 0,
	 "\\bhost='(?<host>[^']{1,255})', port=" PORT
	 ".{0,2000}?(?:\\[Errno \\d{1,3}\\] |, ')" WHY_PEER},
	{"gunicorn", LOG_PYTHON, BIND, LOG_REUSES, EADDRINUSE,
	 "\\bConnection in use: \\('(?<host>[^']{0,80})', " PORT},
	{"flask", LOG_PYTHON, BIND, LOG_REUSES, EADDRINUSE,
	 "\\bPort " PORT " is in use by another program"},
	{"django", LOG_PYTHON, BIND, LOG_REUSES, EADDRINUSE, "\\bThat port is already in use"},
	{"python", LOG_PYTHON, CONNECT, 0, 0,
	 "\\bError \\d{1,3} connecting to " AT "\\. " WHY_PEER},
	{"python", LOG_PYTHON, OTHER, 0, 0,
	 "\\b(?<call>[Bb]ind|[Ll]isten|[Cc]onnect)(?:ing)?\\b[^\"]{0,60}?" AT
	 ": \\[Errno \\d{1,3}\\] " WHY},
	{"python", LOG_PYTHON, OTHER, 0, 0,
	 "(?<at>[][\\w.%-]{1,255}:\\d{1,5}): \\[Errno (?:99|104|110|111)\\] " WHY_PEER},
	{"python", LOG_PYTHON, OTHER, 0, 0, "\\[Errno \\d{1,3}\\] " WHY},
	{"python", LOG_PYTHON, OTHER, 0, 0, "\\b\\w{1,40}Error\\(\\d{1,3}, ['\"]" WHY "['\"]"},
	{"ruby", LOG_ALONE, OTHER, LOG_REUSES, 0,
	 "\\b" WHY " - (?:user specified timeout|(?<call>bind|connect)\\(2\\)) for "
	 "(?|\"(?<host>[^\"]{0,255})\" port " PORT "|(?<host>[][\\w.:%*-]{1,255}):" PORT ")"},
	{"ruby", LOG_ALONE, OTHER, LOG_REUSES, 0,
	 "\\b" WHY " - (?<call>bind|connect|recvfrom|read)\\(2\\)"},
	{"kestrel", LOG_DOTNET, BIND, LOG_REUSES, 0,
	 "Failed to bind to address " AT ": " WHY_LOCAL},
	{"kestrel", LOG_DOTNET, BIND, LOG_REUSES | LOG_LOOPBACK6, 0,
	 "Unable to bind to \\w{1,12}://localhost:" PORT
	 " on the IPv6 loopback interface: '" WHY_LOCAL},
	{"kestrel", LOG_DOTNET, BIND, LOG_REUSES, 0,
	 "Unable to bind to " AT " on the IPv4 loopback interface: '" WHY_LOCAL},
	{"dotnet", LOG_DOTNET, CONNECT, 0, 0,
	 "(?:HttpRequest|Http|Socket)\\w{0,20}Exception[^:]{0,40}: (?<why>" REFUSED "|" TIMED_OUT
	 "|" NOT_AVAIL ") \\(?(?<at>[][\\w.:%-]{1,255}:\\d{1,5})(?!\\d)"},
	{"dotnet", LOG_DOTNET, OTHER, LOG_REUSES, 0,
	 "(?:SocketException \\((?:0x)?\\w{1,8}\\)|AddressInUseException): " WHY},
	{"rust", LOG_ALONE, OTHER, LOG_REUSES, 0,
	 "\\b(?<call>bind|listen|connect)(?:ing)?\\b.{0,60}?" AT ".{0,60}?" WHY
	 " \\(os error \\d{1,3}\\)"},
	{"rust", LOG_ALONE, OTHER, LOG_REUSES, 0, "\\bkind: \\w{1,30}, message: \"" WHY "\""},
	{"rust", LOG_ALONE, OTHER, LOG_REUSES, 0, "" WHY " \\(os error \\d{1,3}\\)"},
	{"php-fpm", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "unable to bind listening socket for address '(?<at>[^'\\s]{1,80})': " WHY_LOCAL},
	{"php", LOG_ALONE, BIND, LOG_REUSES, 0, "Failed to listen on " AT " \\(reason: " WHY_LOCAL},
	{"php", LOG_ALONE, CONNECT, 0, 0, "connect to \\w{1,12}://" AT " \\(" WHY_PEER},
	{"grpc", LOG_ALONE, BIND, LOG_REUSES, 0,
	 "\"os_error\":\"" WHY_LOCAL "\".{0,400}?\"target_address\":\"(?:ipv[46]:)?" AT},

	/* ---- clients */
	{"ruby", LOG_ALONE, CONNECT, 0, 0,
	 "\\bError connecting to Redis on " AT " \\(Errno::" WHY_NAME},
	{"curl", LOG_ALONE, CONNECT, 0, 0,
	 "\\bconnect to " HOST " port " PORT "(?: from \\S{1,80} port \\d{1,5})?"
	 "(?: after \\d{1,9} ms)?(?: failed)?: " WHY_PEER},
	/* From 7.84 on instead of the text: this of all failures but the next, refusals above all.
	 */
	{"curl", LOG_ALONE, CONNECT, 0, ECONNREFUSED,
	 "curl: \\(7\\) Failed to connect to " HOST " port " PORT
	 "(?: via \\S{1,255})?(?: after \\d{1,9} ms)?: Could(?: not|n't) connect to server"},
	{"curl", LOG_ALONE, CONNECT, 0, ETIMEDOUT,
	 "curl: \\(28\\) Failed to connect to " HOST " port " PORT
	 "(?: via \\S{1,255})?(?: after \\d{1,9} ms)?: Timeout was reached"},
	{"curl", LOG_ALONE, BIND, 0, 0, "\\bbind failed with errno \\d{1,3}: " WHY_LOCAL},
	{"curl", LOG_ALONE, OTHER, 0, 0, "\\b(?:Recv|Send) failure: " WHY_PEER},
	{"curl", LOG_ALONE, CONNECT, 0, ETIMEDOUT,
	 "curl: \\(28\\) (?:Connection|Connect\\w{0,3}) timed? ?out"},
	{"wget", LOG_ALONE, CONNECT, 0, 0,
	 "\\bConnecting to (?|[^|\\s]{1,255}(?: "
	 "\\([^)]{1,255}\\))?\\|(?<host>[^|]{1,60})\\||(?<host>[\\w.-]{1,255}))"
	 ":" PORT "\\.\\.\\. failed: " WHY_PEER},

	/* ---- whoever prints strerror(), last: first with an address beside it, then without */
	{"other", LOG_ALONE, BIND, 0, EADDRINUSE,
	 NOT_A_DEVICE "\\b[Pp]ort " PORT
		      " (?:is|was) (?:already |currently )?in use\\b(?! by forwarding)"},
	{"other", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?<call>[Bb]ind|[Ll]isten|[Cc]onnect)(?:ing)?\\b[^\"]{0,60}?" AT "[\\]\"')]{0,3}"
	 "[: (-]{1,4}.{0,30}?" WHY},
	{"other", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?<call>[Bb]ind|[Ll]isten|[Cc]onnect)(?:ing)?(?:\\(2?\\))?(?: failed| error)?:? "
	 "(?:\\[?(?:errno|error)?[ =]?\\d{1,3}\\]?:? )?\\(?" WHY "\\b"},
	{"other", LOG_ALONE, OTHER, 0, 0,
	 "(?:^|: |\\(|- )(?![Oo]peration)" WHY
	 "(?: ?[\\[(](?:errno|error)?[ =]?\\d{1,3}[\\])])?[.!)\\]\"'}]{0,4}$"},
	{"other", LOG_ALONE, OTHER, 0, 0,
	 "\\b(?<call>[Bb]ind|[Ll]isten|[Cc]onnect)\\b(?!-)[^+&?%]{0,40}?\\b" WHY_NAME "\\b"},
};

/* Its name of a connector: "http-nio-127.0.0.1-8080". */
#define TOMCAT                                                                                     \
	"\\[\"[^\"]{0,60}?-(?:\\[?(?<host>\\d{1,3}(?:\\.\\d{1,3}){3}|[0-9a-fA-F:]{2,45})\\]?-)"    \
	"?" PORT "\""

static const struct log_context contexts[] = {
	{LOG_JAVA, false, NULL, "[Ff]ailed to bind to:? (?:address )?\\[?" AT},
	{LOG_JAVA, false, NULL, "[Ff]ailed to bind to (?:" HOST ":)?\\[" PORT},
	{LOG_JAVA, false, NULL, "ProtocolHandler " TOMCAT "\\]"},
	{LOG_JAVA, false, NULL, "Connector\\[[^]\"]{0,40}-" PORT "\\]"},
	{LOG_JAVA, false, NULL, "Connector" TOMCAT "\\]"},
	{LOG_JAVA, false, NULL, "Connector configured to listen on port " PORT},
	{LOG_JAVA, false, NULL, "create\\[(?<host>[\\w.]{1,80}):" PORT "\\]"},
	{LOG_JAVA, false, NULL, "address \\[(?<host>[^]]{1,80})\\] and port \\[" PORT "\\]"},
	{LOG_JAVA, false, NULL, "Connector@\\w{1,16}\\{.{0,80}?\\{" AT "\\}"},
	{LOG_JAVA, false, NULL,
	 "[Ff]ailed to (?:start|connect).{0,120}?(?:port |[/ ]" HOST ":)" PORT},
	{LOG_JAVA, false, NULL, "\\belection address " AT},
	{LOG_JAVA, false, NULL, "request for \"\\w{1,12}://" AT},
	{LOG_JAVA, true, "netty", "^\\s{1,8}at (?:io\\.(?:grpc\\.)?|org\\.jboss\\.)netty\\."},
	{LOG_JAVA, true, "jetty", "^\\s{1,8}at org\\.eclipse\\.jetty\\."},
	{LOG_JAVA, true, "tomcat", "^\\s{1,8}at org\\.apache\\.(?:tomcat|coyote|catalina)\\."},
	{LOG_JAVA, true, "undertow", "^\\s{1,8}at (?:io\\.undertow|org\\.xnio)\\."},
	{LOG_JAVA, true, "kafka", "^\\s{1,8}at (?:org\\.apache\\.)?kafka\\."},
	{LOG_NODE, true, NULL, "^\\s{0,8}syscall: '(?<call>\\w{1,20})'"},
	{LOG_NODE, true, NULL, "^\\s{0,8}address: '(?<host>[^']{1,80})'"},
	{LOG_NODE, true, NULL, "^\\s{0,8}port: " PORT},
	{LOG_PYTHON, false, NULL, "development server at \\w{1,12}://" AT},
	{LOG_POSTGRES, true, NULL, "running on port " PORT},
	{LOG_POSTGRES, true, NULL,
	 "running (?:on host \"[^\"]{0,255}\" )?\\((?<host>[^)]{1,60})\\)"},
	{LOG_POSTGRES, true, NULL, "connections on port " PORT},
	{LOG_MYSQL, true, NULL, "server running on port: ?" PORT},
	{LOG_MONGO, false, NULL, "MongoDB starting.{0,80}?\\bport[=\":]{1,3}" PORT},
	{LOG_MONGO, false, NULL, "options: .{0,600}?\\bport\"?: ?" PORT},
	{LOG_REDIS, false, NULL, "Connecting to (?:MASTER|REPLICA) " AT},
};

const struct log_format *log_format_at(size_t i)
{
	_Static_assert(sizeof(formats) / sizeof(formats[0]) <= LOG_FORMATS_MAX, "LOG_FORMATS_MAX");
	return i < sizeof(formats) / sizeof(formats[0]) ? &formats[i] : NULL;
}

const struct log_context *log_context_at(size_t i)
{
	_Static_assert(sizeof(contexts) / sizeof(contexts[0]) <= LOG_CONTEXTS_MAX,
		       "LOG_CONTEXTS_MAX");
	return i < sizeof(contexts) / sizeof(contexts[0]) ? &contexts[i] : NULL;
}
