/* SPDX-License-Identifier: MIT */
#include "cure/sysctl_key.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define REL(major, minor) SYSCTL_RELEASE(major, minor)
#define BOTH              .refuses_less = true, .refuses_more = true
#define UNSAFE            .kube_since = SYSCTL_NEVER

/* Greatest values: INT_MAX, what still fits when seconds become ticks of 1 ms, and what one byte
 * holds. netns_since of 4.5, 4.6 and 3.16 stands in the kubelet's source too; 3.10, 4.14 and 4.19
 * were read, and the others fit between them. */
#define INT_GREATEST     2147483647u
#define SECONDS_GREATEST 2147483u

static const struct sysctl_key keys[] = {
	{.name = "net.ipv4.ip_local_port_range",
	 .means = "the ports that connect() and bind(0) choose from, first and last",
	 .raising = "a wider range meets ports of services: reserve those that lie in it",
	 .lowering = "fewer connections to one destination, and fewer ports for bind(0)",
	 .refusal = "the first port may not be below net.ipv4.ip_unprivileged_port_start",
	 .form = SYSCTL_RANGE,
	 BOTH,
	 .least = 1,
	 .greatest = 65535,
	 .netns_since = REL(3, 13)},
	{.name = "net.ipv4.ip_local_reserved_ports",
	 .means =
		 "the ports that connect() and bind(0) never choose; bind() of the port itself may",
	 .raising = "fewer ports for connect() and bind(0)",
	 .lowering = "a port that is no longer reserved can be taken while its service is away",
	 .form = SYSCTL_PORTS,
	 BOTH,
	 .least = 0,
	 .greatest = 65535,
	 .netns_since = REL(3, 16),
	 .kube_since = REL(1, 27)},
	{.name = "net.ipv4.ip_autobind_reuse",
	 .means = "1: bind(0) may share a port when none is free, if all its sockets have "
		  "SO_REUSEADDR",
	 .raising = "two sockets may get one port; connect() from both to one peer then fails",
	 .lowering = "bind(0) fails as soon as every port of the range has a socket",
	 BOTH,
	 .greatest = 1,
	 .since = REL(5, 7),
	 UNSAFE},
	{.name = "net.ipv4.ip_nonlocal_bind",
	 .means = "1: bind() takes an IPv4 address that this host does not have",
	 .raising = "a wrong address is no longer refused: the server starts and nothing arrives",
	 .lowering = "a program that binds a floating address fails while the address is elsewhere",
	 .refuses_less = true,
	 .greatest = 1,
	 .netns_since = REL(3, 18),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.ipv4.ip_unprivileged_port_start",
	 .means = "the first port that bind() needs no CAP_NET_BIND_SERVICE for",
	 .raising = "programs that bound these ports without the privilege are refused",
	 .lowering = "every user may bind these ports, also while their service is away",
	 .refusal = "it may not be above the first port of net.ipv4.ip_local_port_range",
	 BOTH,
	 .greatest = 65535,
	 .since = REL(4, 11),
	 .kube_since = REL(1, 22)},
	{.name = "net.ipv4.tcp_tw_reuse",
	 .means = "1: connect() may take over the port of a TIME_WAIT that had timestamps; 2: only "
		  "on "
		  "loopback; 0: never",
	 .raising =
		 "only timestamps then keep late segments of the old connection out of the new one",
	 .lowering = "a port stays taken for its destination for the 60 s of TIME_WAIT",
	 .refusal = "before 4.19 there is no 2",
	 BOTH,
	 .greatest = 2,
	 .netns_since = REL(4, 11),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.ipv4.tcp_tw_reuse_delay",
	 .means = "how old, in milliseconds, a TIME_WAIT must be before connect() may take it over",
	 .raising = "ports come back later",
	 .lowering = "below 1000 two connections may have the same timestamp, and PAWS cannot tell "
		     "them "
		     "apart",
	 BOTH,
	 .least = 1,
	 .greatest = 60000,
	 .since = REL(6, 14),
	 UNSAFE},
	{.name = "net.ipv4.tcp_tw_recycle",
	 .means = "1: a SYN with an older timestamp than the last from its address is dropped",
	 .raising = "clients behind one NAT address are refused at random",
	 .lowering = "server-side TIME_WAIT lasts its 60 s",
	 .greatest = 1,
	 .until = REL(4, 12),
	 .netns_since = REL(4, 11),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.ipv4.tcp_timestamps",
	 .means = "1: new connections offer timestamps (RFC 7323); 2: without a random start of "
		  "each; "
		  "0: none",
	 .raising = "12 bytes of every segment",
	 .lowering = "no PAWS, and no TIME_WAIT that connect() may take over",
	 .refuses_less = true,
	 .greatest = 2,
	 .netns_since = REL(4, 13),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.ipv4.tcp_fin_timeout",
	 .means = "seconds that a closed socket waits in FIN_WAIT2 for the peer's FIN; TIME_WAIT "
		  "is not "
		  "meant",
	 .raising = "orphans hold ports and memory longer",
	 .lowering = "a peer that closes late gets a reset instead of an end",
	 .greatest = SECONDS_GREATEST,
	 .netns_since = REL(4, 6),
	 .kube_since = REL(1, 29)},
	{.name = "net.ipv4.tcp_max_tw_buckets",
	 .means = "how many TIME_WAIT there may be; beyond it a connection ends without one",
	 .raising = "memory: about 250 bytes of kernel memory each",
	 .lowering = "beyond it a lost last ACK is answered by a reset, and late segments reach "
		     "the next "
		     "connection",
	 .refuses_more = true,
	 .greatest = INT_GREATEST,
	 .netns_since = REL(4, 11),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.ipv4.tcp_max_orphans",
	 .means = "how many closed sockets may still wait for their peer, in the whole machine; "
		  "beyond it "
		  "they are reset",
	 .raising = "memory of the kernel, up to 64 KiB each",
	 .lowering = "connections with unsent data are reset when there are more",
	 .refuses_more = true,
	 .greatest = INT_GREATEST,
	 .netns_since = SYSCTL_NEVER,
	 UNSAFE},
	{.name = "net.ipv4.tcp_rfc1337",
	 .means = "1: a reset does not end a TIME_WAIT",
	 .raising = "a client whose new SYN met a TIME_WAIT cannot clear it, and waits",
	 .lowering = "a reset ends a TIME_WAIT early, and with it its protection",
	 .refuses_less = true,
	 .greatest = 1,
	 .netns_since = REL(4, 15),
	 UNSAFE},
	{.name = "net.ipv4.tcp_syncookies",
	 .means = "1: when the SYN queue is full, answer without remembering the SYN; 2: always; "
		  "0: drop",
	 .raising = "with 2 every handshake loses options when timestamps are off",
	 .lowering = "with 0 a flood of SYNs keeps clients out",
	 .refuses_less = true,
	 .greatest = 2,
	 .netns_since = REL(4, 6)},
	{.name = "net.ipv4.tcp_max_syn_backlog",
	 .means = "of the SYN queue, what new clients may fill when cookies are off; before 4.4 "
		  "also its "
		  "size",
	 .raising = "memory under a flood of SYNs",
	 .lowering = "without cookies, new clients are dropped earlier",
	 .refuses_more = true,
	 .greatest = INT_GREATEST,
	 .netns_since = REL(4, 11),
	 .netns_unread = true,
	 UNSAFE},
	{.name = "net.core.somaxconn",
	 .means = "the greatest backlog that listen() is given; a listener takes it over when it "
		  "calls "
		  "listen() again",
	 .raising = "memory for connections that nobody has accepted; clients wait instead of "
		    "being told",
	 .lowering = "bursts of connections are dropped",
	 .refusal = "older kernels take 65535 at most",
	 BOTH,
	 .greatest = INT_GREATEST,
	 UNSAFE},
	{.name = "net.ipv4.tcp_abort_on_overflow",
	 .means = "1: a full accept queue answers the last ACK of a handshake with a reset",
	 .raising = "a short burst becomes errors, where clients would have waited a moment",
	 .lowering = "a client may believe in a connection that the server does not have",
	 .refuses_less = true,
	 .greatest = 1,
	 .netns_since = REL(4, 15),
	 UNSAFE},
	{.name = "net.ipv4.tcp_syn_retries",
	 .means = "how often connect() sends its SYN again before ETIMEDOUT",
	 .raising = "connect() to a dead host fails later",
	 .lowering = "connect() gives up on a server that is busy for a while",
	 BOTH,
	 .least = 1,
	 .greatest = 127,
	 .netns_since = REL(4, 6),
	 UNSAFE},
	{.name = "net.ipv4.tcp_synack_retries",
	 .means = "how often a listener sends its SYN-ACK again before it forgets the SYN",
	 .raising = "SYNs of clients that are gone stay in the queue longer",
	 .lowering = "clients behind a bad line are forgotten",
	 BOTH,
	 .greatest = 255,
	 .netns_since = REL(4, 6),
	 UNSAFE},
	{.name = "net.ipv4.tcp_syn_linear_timeouts",
	 .means =
		 "how many of the first repeated SYNs follow each second, before the pauses double",
	 .raising = "more SYNs to a server that is overloaded",
	 .lowering = "connect() recovers later from a lost SYN",
	 BOTH,
	 .greatest = 127,
	 .since = REL(6, 5),
	 UNSAFE},
	{.name = "net.ipv4.tcp_retries1",
	 .means = "after how many unanswered repeats the route is doubted",
	 .raising = "a broken route is noticed later",
	 .lowering = "a good route is looked up again without need",
	 BOTH,
	 .greatest = 255,
	 .netns_since = REL(4, 6),
	 UNSAFE},
	{.name = "net.ipv4.tcp_retries2",
	 .means = "how many unanswered repeats of data end a connection with ETIMEDOUT (15: about "
		  "15 "
		  "minutes)",
	 .raising = "a dead peer is noticed later",
	 .lowering = "connections break in short outages of the network",
	 BOTH,
	 .greatest = 255,
	 .netns_since = REL(4, 6),
	 UNSAFE},
	{.name = "net.ipv4.tcp_orphan_retries",
	 .means = "how many unanswered repeats end a connection that its program has closed (0 "
		  "means 8)",
	 .raising = "orphans hold ports and memory longer",
	 .lowering = "data that close() left behind may not arrive",
	 BOTH,
	 .greatest = 255,
	 .netns_since = REL(4, 6),
	 UNSAFE},
	{.name = "net.ipv4.tcp_challenge_ack_limit",
	 .means = "how many doubtful resets and SYNs a second are answered with a challenge ACK",
	 .raising = "a flood of forged segments is answered in full",
	 .lowering =
		 "a true reset may get no answer, and others can count what is left of the limit",
	 .refuses_more = true,
	 .greatest = INT_GREATEST,
	 .netns_since = REL(4, 15),
	 UNSAFE},
	{.name = "net.ipv4.tcp_invalid_ratelimit",
	 .means = "milliseconds between two answers to segments that do not fit the connection",
	 .raising = "a peer that lost its state learns of it later",
	 .lowering = "two confused ends can answer each other without end",
	 BOTH,
	 .ticks = true,
	 .greatest = INT_GREATEST,
	 .since = REL(4, 0),
	 .netns_since = REL(4, 15),
	 UNSAFE},
	{.name = "net.ipv4.tcp_keepalive_time",
	 .means =
		 "seconds of silence before a socket with SO_KEEPALIVE asks whether its peer lives",
	 .raising = "dead peers hold ports longer, and a firewall may forget the connection first",
	 .lowering = "more packets on idle connections",
	 .least = 1,
	 .greatest = SECONDS_GREATEST,
	 .netns_since = REL(4, 5),
	 .kube_since = REL(1, 29)},
	{.name = "net.ipv4.tcp_keepalive_intvl",
	 .means = "seconds between two such questions while there is no answer",
	 .raising = "a dead peer is noticed later",
	 .lowering = "connections break in short outages of the network",
	 .least = 1,
	 .greatest = SECONDS_GREATEST,
	 .netns_since = REL(4, 5),
	 .kube_since = REL(1, 29)},
	{.name = "net.ipv4.tcp_keepalive_probes",
	 .means = "how many such questions without an answer end the connection",
	 .raising = "a dead peer is noticed later",
	 .lowering = "connections break in short outages of the network",
	 BOTH,
	 .greatest = 255,
	 .netns_since = REL(4, 5),
	 .kube_since = REL(1, 29)},
	{.name = "net.ipv4.tcp_migrate_req",
	 .means = "1: what waits in the queues of a listener that closes moves to another of its "
		  "SO_REUSEPORT group",
	 .raising = "a server may accept a connection whose handshake another one began",
	 .lowering = "connections that wait when one listener of the group closes are reset",
	 BOTH,
	 .greatest = 1,
	 .since = REL(5, 14),
	 UNSAFE},
	{.name = "net.ipv4.tcp_l3mdev_accept",
	 .means = "1: a listener outside every VRF serves what arrives in any of them",
	 .raising = "services meant for one side are reached from the VRFs",
	 .lowering = "clients in a VRF are refused, where no listener is bound to it",
	 BOTH,
	 .greatest = 1,
	 .since = REL(4, 4),
	 UNSAFE},
	{.name = "net.ipv4.tcp_child_ehash_entries",
	 .means = "places of the connection table of each namespace made from here from now on; 0: "
		  "the "
		  "machine's table is shared",
	 .raising = "memory for each new namespace",
	 .lowering = "a small table makes every lookup in it slower",
	 .greatest = 16777216,
	 .since = REL(6, 1),
	 UNSAFE},
	{.name = "net.ipv6.bindv6only",
	 .means = "1: a new IPv6 socket leaves IPv4 alone, unless it says otherwise",
	 .raising = "servers that listen on :: alone no longer serve IPv4",
	 .lowering = "a server on :: takes the port of 0.0.0.0, too",
	 .refuses_less = true,
	 .greatest = 1,
	 UNSAFE},
	{.name = "net.ipv6.ip_nonlocal_bind",
	 .means = "1: bind() takes an IPv6 address that this host does not have",
	 .raising = "a wrong address is no longer refused: the server starts and nothing arrives",
	 .lowering = "a program that binds a floating address fails while the address is elsewhere",
	 .refuses_less = true,
	 .greatest = 1,
	 .since = REL(4, 3),
	 UNSAFE},
};

const struct sysctl_key *sysctl_key_at(size_t i)
{
	return i < COUNT(keys) ? &keys[i] : NULL;
}

/* --------------------------------------------------------------------------------------- by name
 */

enum { NAME_MAX_LEN = 64 };

/* Dots for slashes, and nothing before net. */
static bool name_normal(const char *name, char out[static NAME_MAX_LEN])
{
	static const char proc[] = "/proc/sys/";

	if (strncmp(name, proc, sizeof(proc) - 1) == 0)
		name += sizeof(proc) - 1;
	size_t n = strlen(name);
	if (!n || n >= NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i <= n; i++)
		out[i] = name[i] == '/' ? '.' : name[i];
	return true;
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

/* The whole name, or its end from a dot on. */
static bool names(const char *name, const struct sysctl_key *key)
{
	size_t given = strlen(name), all = strlen(key->name);

	if (given > all || strcmp(key->name + all - given, name) != 0)
		return false;
	return given == all || key->name[all - given - 1] == '.';
}

const struct sysctl_key *sysctl_key_find(const char *name)
{
	char normal[NAME_MAX_LEN];

	if (!name_normal(name, normal))
		return NULL;
	for (size_t i = 0; i < COUNT(keys); i++) {
		if (names(normal, &keys[i]))
			return &keys[i];
	}
	return NULL;
}

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Letters to put in, take out or change (Levenshtein), one row of the table at a time. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN];
	unsigned n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];
			row[j] = least_of(above + 1, row[j - 1] + 1,
					  diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

/* How far the name is from the key; NEAR_MOST + 1 if it cannot have been meant. */
enum { NEAR_MOST = 4 };

static unsigned farness(const char *part, const struct sysctl_key *key)
{
	const char *own = last_part(key->name);
	unsigned d = distance(part, own);
	bool within = strlen(part) >= 4 && strstr(own, part);

	if (within)
		return d < NEAR_MOST ? d : NEAR_MOST;
	return d <= NEAR_MOST && d * 3 <= strlen(own) ? d : NEAR_MOST + 1;
}

size_t sysctl_key_near(const char *name, const struct sysctl_key **near, size_t max)
{
	char normal[NAME_MAX_LEN];
	size_t n = 0;

	if (!name_normal(name, normal))
		return 0;
	for (unsigned far = 0; far <= NEAR_MOST; far++) {
		for (size_t i = 0; i < COUNT(keys) && n < max; i++) {
			if (farness(last_part(normal), &keys[i]) == far)
				near[n++] = &keys[i];
		}
	}
	return n;
}

/* ---------------------------------------------------------------------------------------- values
 */

/* The digits at *text, which moves behind them; what is greater than 32 bits is UINT32_MAX + 1. */
static bool read_digits(const char **text, uint64_t *value)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++)
		v = v > UINT32_MAX ? v : v * 10 + (uint64_t)(**text - '0');
	*value = v;
	return true;
}

static void skip_space(const char **text)
{
	while (isspace((unsigned char)**text))
		(*text)++;
}

static const char *check_bounds(const struct sysctl_key *key, uint64_t v)
{
	if (v < key->least)
		return "below the least value";
	return v > key->greatest ? "above the greatest value" : NULL;
}

/* Numbers separated by space and nothing else, each in bounds. */
static const char *read_numbers(const struct sysctl_key *key, const char *text, uint64_t *v,
				size_t n)
{
	for (size_t i = 0; i < n; i++) {
		skip_space(&text);
		if (!read_digits(&text, &v[i]))
			return n == 1 ? "not a number" : "not two ports";
		const char *wrong = check_bounds(key, v[i]);
		if (wrong)
			return wrong;
		if (*text && !isspace((unsigned char)*text))
			return n == 1 ? "not a number" : "not two ports";
	}
	skip_space(&text);
	return !*text ? NULL : n == 1 ? "not one number" : "not two ports";
}

static const char *value_number(const struct sysctl_key *key, const char *text, char *out,
				size_t size)
{
	uint64_t v;
	const char *wrong = read_numbers(key, text, &v, 1);
	char line[32];

	if (wrong)
		return wrong;
	int n = snprintf(line, sizeof(line), "%llu", (unsigned long long)v);
	if ((size_t)n >= size)
		return "too long";
	memcpy(out, line, (size_t)n + 1);
	return NULL;
}

static const char *value_range(const struct sysctl_key *key, const char *text, char *out,
			       size_t size)
{
	uint64_t v[2];
	const char *wrong = read_numbers(key, text, v, 2);
	char line[32];

	if (wrong)
		return wrong;
	if (v[0] > v[1])
		return "the first port is above the second";
	int n = snprintf(line, sizeof(line), "%u %u", (unsigned)v[0], (unsigned)v[1]);
	if ((size_t)n >= size)
		return "too long";
	memcpy(out, line, (size_t)n + 1);
	return NULL;
}

#define PORT_WORDS 2048

static bool has_port(const uint32_t *ports, unsigned port)
{
	return port < 65536 && ports[port / 32] >> port % 32 & 1;
}

static const char *read_ports(const struct sysctl_key *key, const char *text, uint32_t *ports)
{
	skip_space(&text);
	while (*text && !isspace((unsigned char)*text)) {
		uint64_t low, high;

		if (!read_digits(&text, &low))
			return "not a list of ports";
		high = low;
		if (*text == '-' && (text++, !read_digits(&text, &high)))
			return "not a list of ports";
		if (check_bounds(key, low) || check_bounds(key, high))
			return "not a port";
		if (low > high)
			return "a part of the list ends before it begins";
		for (uint64_t p = low; p <= high; p++)
			ports[p / 32] |= 1u << p % 32;
		if (*text == ',' && isdigit((unsigned char)text[1]))
			text++;
		else if (*text && !isspace((unsigned char)*text))
			return "not a list of ports";
	}
	skip_space(&text);
	return *text ? "not a list of ports: no spaces in it" : NULL;
}

/* Returns the length that the list has, of which as much as fits was written. */
static size_t print_ports(const uint32_t *ports, char *out, size_t size)
{
	size_t len = 0;

	for (unsigned low = 0; low < 65536; low++) {
		char part[16];
		unsigned high = low;

		if (!has_port(ports, low))
			continue;
		while (has_port(ports, high + 1))
			high++;
		int n = low == high ? snprintf(part, sizeof(part), "%s%u", len ? "," : "", low)
				    : snprintf(part, sizeof(part), "%s%u-%u", len ? "," : "", low,
					       high);
		if (len + (size_t)n < size)
			memcpy(out + len, part, (size_t)n + 1);
		len += (size_t)n;
		low = high;
	}
	return len;
}

static const char *value_ports(const struct sysctl_key *key, const char *text, char *out,
			       size_t size)
{
	uint32_t ports[PORT_WORDS] = {0};
	const char *wrong = read_ports(key, text, ports);

	if (wrong)
		return wrong;
	if (print_ports(ports, NULL, 0) >= size)
		return "too long";
	out[0] = '\0';
	print_ports(ports, out, size);
	return NULL;
}

const char *sysctl_key_value(const struct sysctl_key *key, const char *text, char *out, size_t size)
{
	switch ((enum sysctl_form)key->form) {
	case SYSCTL_NUMBER:
		return value_number(key, text, out, size);
	case SYSCTL_RANGE:
		return value_range(key, text, out, size);
	case SYSCTL_PORTS:
		return value_ports(key, text, out, size);
	}
	return "not such a value";
}

/* A tick is 1 to 10 ms, and a part of one counts as one (proc_dointvec_ms_jiffies()). */
static bool same_ticks(const char *written, const char *seen)
{
	uint64_t w, s;

	skip_space(&written);
	skip_space(&seen);
	return read_digits(&written, &w) && read_digits(&seen, &s) && s >= w && s - w < 10;
}

/* Word for word: also of a value out of range, which somebody wrote by hand. */
static bool same_words(const char *a, const char *b)
{
	for (;;) {
		skip_space(&a);
		skip_space(&b);
		if (!*a || !*b)
			return *a == *b;
		for (; *a && !isspace((unsigned char)*a); a++, b++) {
			if (*a != *b)
				return false;
		}
		if (*b && !isspace((unsigned char)*b))
			return false;
	}
}

bool sysctl_key_same(const struct sysctl_key *key, const char *written, const char *seen)
{
	uint32_t a[PORT_WORDS] = {0}, b[PORT_WORDS] = {0};
	char w[SYSCTL_VALUE_MAX], s[SYSCTL_VALUE_MAX];

	if (same_words(written, seen))
		return true;
	if (key->ticks)
		return same_ticks(written, seen);
	if (key->form == SYSCTL_PORTS)
		return !read_ports(key, written, a) && !read_ports(key, seen, b) &&
		       memcmp(a, b, sizeof(a)) == 0;
	return !sysctl_key_value(key, written, w, sizeof(w)) &&
	       !sysctl_key_value(key, seen, s, sizeof(s)) && strcmp(w, s) == 0;
}

/* -------------------------------------------------------------------------------------- releases
 */

bool sysctl_key_exists(const struct sysctl_key *key, uint16_t linux_release)
{
	return linux_release >= key->since && (!key->until || linux_release < key->until);
}

bool sysctl_key_per_netns(const struct sysctl_key *key, uint16_t linux_release)
{
	return key->netns_since != SYSCTL_NEVER && linux_release >= key->netns_since;
}

uint16_t sysctl_release_parse(const char *text)
{
	uint64_t major, minor;

	if (*text == 'v')
		text++;
	if (!read_digits(&text, &major) || *text++ != '.' || !read_digits(&text, &minor))
		return 0;
	if (*text && *text != '.' && *text != '-' && *text != '+')
		return 0;
	return major > 254 || minor > 255 ? 0 : (uint16_t)(major << 8 | minor);
}

bool sysctl_key_path(const struct sysctl_key *key, char *out, size_t size)
{
	int n = snprintf(out, size, "/proc/sys/%s", key->name);

	if (n < 0 || (size_t)n >= size)
		return false;
	for (char *c = out + sizeof("/proc/sys/") - 1; *c; c++)
		*c = *c == '.' ? '/' : *c;
	return true;
}
