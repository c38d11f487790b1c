/* SPDX-License-Identifier: MIT */
#include "live/procnet.h"

#include "live/collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE     512
#define TIMER_TW 3

/* "0100007F" is 127.0.0.1 on a little-endian machine: each 32-bit word of the address is printed as
 * a number. */
static bool hex_words(const char *hex, size_t words, uint8_t *out)
{
	for (size_t i = 0; i < words; i++) {
		char digits[9] = {0}, *end;
		uint32_t word;

		memcpy(digits, hex + 8 * i, 8);
		word = (uint32_t)strtoul(digits, &end, 16);
		if (end != digits + 8 || digits[0] == '-' || digits[0] == '+' || digits[0] == ' ')
			return false;
		memcpy(out + 4 * i, &word, sizeof(word));
	}
	return true;
}

struct line {
	char local[33], peer[33];
	unsigned port, peer_port, state, timer, uid;
	unsigned long long expires, inode;
};

/*  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 * ... */
static bool scan_line(const char *text, struct line *l)
{
	return sscanf(text,
		      " %*u: %32[0-9A-F]:%4x %32[0-9A-F]:%4x %2x %*8x:%*8x %2x:%8llx %*8x %u %*u "
		      "%llu",
		      l->local, &l->port, l->peer, &l->peer_port, &l->state, &l->timer, &l->expires,
		      &l->uid, &l->inode) == 9;
}

static bool make_state(const struct line *l, struct snapshot_owner *s)
{
	s->o.state = (uint8_t)l->state;
	s->o.timewait = l->timer == TIMER_TW;
	if (s->o.timewait)
		return l->state == TCPWHY_TIME_WAIT || l->state == TCPWHY_FIN_WAIT2;
	return l->state >= TCPWHY_ESTABLISHED && l->state <= TCPWHY_CLOSING &&
	       l->state != TCPWHY_SYN_RECV && l->state != TCPWHY_TIME_WAIT &&
	       l->state != TCPWHY_CLOSE;
}

static bool make_owner(const char *text, int family, uint64_t now_ns, struct snapshot_owner *s)
{
	size_t words = family == AF_INET ? 1 : 4;
	uint8_t local[16], peer[16];
	struct line l = {0};

	if (!scan_line(text, &l) || l.port == 0 || l.inode > UINT32_MAX)
		return false;
	if (strlen(l.local) != 8 * words || strlen(l.peer) != 8 * words)
		return false;
	if (!hex_words(l.local, words, local) || !hex_words(l.peer, words, peer))
		return false;
	*s = (struct snapshot_owner){
		.o.port = (uint16_t)l.port,
		.o.peer_port = (uint16_t)l.peer_port,
		.o.family = family == AF_INET ? TCPWHY_IPV4 : TCPWHY_IPV6,
		.o.reuse = TCPWHY_REUSE_UNKNOWN,
		.o.reuseport = TCPWHY_UNKNOWN,
		.o.v6only = family == AF_INET ? TCPWHY_NO : TCPWHY_UNKNOWN,
		.o.connect_bind = TCPWHY_UNKNOWN,
		.o.uid_known = l.inode != 0,
		.o.uid = l.inode != 0 ? l.uid : 0,
		.inode = (uint32_t)l.inode,
	};
	if (!make_state(&l, s))
		return false;
	s->o.local = collect_address(family, local);
	if (s->o.peer_port)
		s->o.peer = collect_address(family, peer);
	/* The kernel prints USER_HZ, which is 100 everywhere we run. */
	if (s->o.timewait) {
		s->o.expires_ns = now_ns + l.expires * UINT64_C(10000000);
		s->o.timestamps = TCPWHY_UNKNOWN;
	}
	return true;
}

int procnet_parse(const char *text, size_t len, int family, uint64_t now_ns, sockdiag_take *take,
		  void *ctx)
{
	const char *end = text + len;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = newline ? (size_t)(newline - text) : (size_t)(end - text);
		char line[LINE];
		struct snapshot_owner s;

		if (n < sizeof(line)) {
			int result = 0;

			memcpy(line, text, n);
			line[n] = '\0';
			if (make_owner(line, family, now_ns, &s))
				result = take(&s, ctx);
			if (result)
				return result;
		}
		text += n + 1;
	}
	return 0;
}

struct filter {
	struct collect_filter wanted;
	struct snapshot *snap;
};

static int take_owner(const struct snapshot_owner *owner, void *ctx)
{
	struct filter *f = ctx;

	return collect_wanted(&f->wanted, &owner->o) ? collect_owner(f->snap, owner) : 0;
}

/* Line by line: the file may be larger than we want to hold. */
static int read_file(const char *path, int family, sockdiag_take *take, void *ctx)
{
	FILE *file = fopen(path, "re");
	uint64_t now_ns = collect_now_ns();
	char line[LINE];
	int error = 0;

	if (!file)
		return -errno;
	while (!error && fgets(line, sizeof(line), file))
		error = procnet_parse(line, strlen(line), family, now_ns, take, ctx);
	if (!error && ferror(file))
		error = -EIO;
	fclose(file);
	return error;
}

int procnet_stream(sockdiag_take *take, void *ctx)
{
	int error = read_file("/proc/thread-self/net/tcp", AF_INET, take, ctx);
	int error6 = error ? 0 : read_file("/proc/thread-self/net/tcp6", AF_INET6, take, ctx);

	/* A kernel without IPv6 has no tcp6. */
	return error6 && error6 != -ENOENT ? error6 : error;
}

int procnet_read(const struct snapshot_scope *scope, struct snapshot *snap)
{
	size_t before = snap->owners_n;
	struct filter f = {.wanted.scope = scope, .snap = snap};
	int error = procnet_stream(take_owner, &f);

	if (error) {
		snap->owners_n = before;
		return error;
	}
	snap->bound_unseen = true;
	return 0;
}

/* ------------------------------------------------------------------------------------- sockstat */

/* "TCP: inuse 4 orphan 0 tw 2 alloc 5 mem 1": of these, orphan, alloc and mem are of the machine.
 */
bool procnet_counts_sockets(const char *sockstat, const char *sockstat6)
{
	const char *tcp = strstr(sockstat, "TCP: "), *tcp6 = strstr(sockstat6, "TCP6: ");
	unsigned inuse = 1, tw = 1, inuse6 = 0;

	if (!tcp || sscanf(tcp, "TCP: inuse %u orphan %*u tw %u", &inuse, &tw) != 2)
		return true;
	if (tcp6 && sscanf(tcp6, "TCP6: inuse %u", &inuse6) != 1)
		return true;
	return inuse || tw || inuse6;
}

/* Empty if there is no such file: a kernel without IPv6 has no sockstat6. */
static void read_small(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, size - 1, file) : 0;

	text[n] = '\0';
	if (file)
		fclose(file);
}

bool procnet_has_sockets(void)
{
	char sockstat[1024], sockstat6[1024];

	read_small("/proc/thread-self/net/sockstat", sockstat, sizeof(sockstat));
	read_small("/proc/thread-self/net/sockstat6", sockstat6, sizeof(sockstat6));
	return procnet_counts_sockets(sockstat, sockstat6);
}
