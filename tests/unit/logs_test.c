/* SPDX-License-Identifier: MIT
 *
 * logs_test.c - what is recognised in logs, and what is not, however the bytes come
 *
 * The corpus is tests/logs: beside each NAME.log stands NAME.expect with one line for each failure:
 * line, format, errno, call, address or name, port, and "context" if another line told the place.
 * To write the expectations anew (and then read the difference): logs_test --write
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "live/heap.h"
#include "logs/format.h"
#include "logs/group.h"
#include "logs/logs.h"
#include "logs/scan.h"
#include "report/name.h"

#define FOLDER "tests/logs"

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	size_t *held = ctx;

	*held += new_size - old_size;
	return heap_resize(NULL, old, old_size, new_size);
}

/* ------------------------------------------------------------------------------------- recording
 */

struct record {
	char *text;
	size_t size;
	FILE *out;
	unsigned hits;
};

static void note(void *ctx, const struct log_hit *h)
{
	struct record *r = ctx;
	char address[ADDRESS_TEXT_MAX];
	const char *call = name_call(h->call);

	address_format(&h->addr, address);
	fprintf(r->out, "%llu %s %s %s %s", (unsigned long long)h->line, h->format,
		name_errno(h->error), call ? call : "-",
		h->addr_known ? address
		: h->host[0]  ? h->host
			      : "-");
	if (h->port_known)
		fprintf(r->out, " %u%s\n", h->port, h->from_context ? " context" : "");
	else
		fprintf(r->out, " -%s\n", h->from_context ? " context" : "");
	r->hits++;
}

static void record_open(struct record *r)
{
	*r = (struct record){.out = NULL};
	r->out = open_memstream(&r->text, &r->size);
	assert_non_null(r->out);
}

/* What comes out of data, fed in pieces of at most piece bytes (0: all at once). Free it. */
static char *read_log(const char *data, size_t size, size_t piece)
{
	size_t held = 0;
	struct tcpwhy_memory memory = {.resize = resize, .ctx = &held};
	struct record r;

	record_open(&r);
	struct logs *l = logs_new(&memory, note, &r);
	assert_non_null(l);
	size_t before = held;
	while (size) {
		size_t n = piece && piece < size ? piece : size;
		logs_feed(l, data, n);
		data += n;
		size -= n;
	}
	logs_end(l);
	/* PCRE2's interpreter may take some for a long match; the JIT takes none. */
	assert_true(held - before <= 4096 * 1024);
	logs_free(l);
	assert_int_equal(held, 0);
	fclose(r.out);
	return r.text;
}

static char *read_text(const char *text)
{
	return read_log(text, strlen(text), 0);
}

static void expect(const char *log, const char *wanted)
{
	char *got = read_text(log);

	assert_string_equal(got, wanted);
	free(got);
}

/* --------------------------------------------------------------------------------------- corpus */

static char *slurp(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rbe");
	char *text = NULL;
	FILE *to = open_memstream(&text, size);
	int c;

	assert_non_null(to);
	while (f && (c = getc(f)) != EOF)
		putc(c, to);
	fclose(to);
	if (!f)
		printf("# %s cannot be read\n", path);
	assert_non_null(f);
	fclose(f);
	return text;
}

static int is_log(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && !strcmp(d->d_name + n - 4, ".log");
}

static void beside(const char *name, const char *end, char out[static 300])
{
	snprintf(out, 300, FOLDER "/%.*s%s", (int)strlen(name) - 4, name, end);
}

typedef void each_log(const char *name, const char *data, size_t size);

static unsigned for_each(each_log *f)
{
	struct dirent **names;
	int n = scandir(FOLDER, &names, is_log, alphasort);

	for (int i = 0; i < n; i++) {
		char path[300];
		size_t size;
		beside(names[i]->d_name, ".log", path);
		char *data = slurp(path, &size);
		f(names[i]->d_name, data, size);
		free(data);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return n < 0 ? 0 : (unsigned)n;
}

static void write_one(const char *name, const char *data, size_t size)
{
	char path[300];
	char *got = read_log(data, size, 0);

	beside(name, ".expect", path);
	FILE *f = fopen(path, "we");
	if (!f || fputs(got, f) < 0 || fclose(f))
		exit(1);
	free(got);
}

static void check_one(const char *name, const char *data, size_t size)
{
	char path[300];
	size_t wanted_size;

	beside(name, ".expect", path);
	char *wanted = slurp(path, &wanted_size), *got = read_log(data, size, 0);
	if (strcmp(wanted, got))
		printf("# %s\n", name);
	assert_string_equal(got, wanted);
	free(wanted);
	free(got);
}

static void test_corpus(void **state)
{
	(void)state;
	assert_true(for_each(check_one) >= 25);
}

static void check_pieces(const char *name, const char *data, size_t size)
{
	static const size_t pieces[] = {1, 7, 64, 4093};
	char *whole = read_log(data, size, 0);

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		char *got = read_log(data, size, pieces[i]);
		if (strcmp(got, whole))
			printf("# %s in pieces of %zu\n", name, pieces[i]);
		assert_string_equal(got, whole);
		free(got);
	}
	free(whole);
}

static void test_pieces(void **state)
{
	(void)state;
	for_each(check_pieces);
}

static void check_crlf(const char *name, const char *data, size_t size)
{
	char *crlf = malloc(2 * size + 1), *at = crlf;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n')
			*at++ = '\r';
		*at++ = data[i];
	}
	char *wanted = read_log(data, size, 0), *got = read_log(crlf, (size_t)(at - crlf), 0);
	if (strcmp(wanted, got))
		printf("# %s with CRLF\n", name);
	assert_string_equal(got, wanted);
	free(crlf);
	free(wanted);
	free(got);
}

static void test_crlf(void **state)
{
	(void)state;
	for_each(check_crlf);
}

/* ---------------------------------------------------------------------------------------- edges */

#define NGINX    "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"
#define NGINX_IS "nginx EADDRINUSE bind 0.0.0.0 80\n"

static void test_half_lines(void **state)
{
	(void)state;
	expect("", "");
	expect("\n\n\n", "");
	expect(NGINX, "1 " NGINX_IS);
	expect("\n" NGINX "\r\n", "2 " NGINX_IS);
	expect("a\n\n" NGINX "\n" NGINX, "3 " NGINX_IS "4 " NGINX_IS);
	expect(NGINX "\xff\xfe\n\xff\xfe" NGINX, "1 " NGINX_IS "2 " NGINX_IS);
}

static void test_odd_bytes(void **state)
{
	static const char nul[] = "\0\0" NGINX "\0\n\0" NGINX;
	char utf16[2 * sizeof(NGINX)] = {0};

	(void)state;
	char *got = read_log(nul, sizeof(nul) - 1, 0);
	assert_string_equal(got, "1 " NGINX_IS "2 " NGINX_IS);
	free(got);
	/* Another encoding: not recognised, and nothing else happens. */
	for (size_t i = 0; NGINX[i]; i++)
		utf16[2 * i] = NGINX[i];
	got = read_log(utf16, sizeof(utf16), 0);
	assert_string_equal(got, "");
	free(got);
}

/* before bytes of filling, the failure, after bytes, a newline, and the failure again. */
static char *around(size_t before, size_t after, size_t *size)
{
	static const char line[] = " " NGINX " ";
	size_t n = sizeof(line) - 1;
	char *text = malloc(before + after + 2 * n + 1);

	memset(text, 'x', before);
	memcpy(text + before, line, n);
	memset(text + before + n, 'y', after);
	text[before + n + after] = '\n';
	memcpy(text + before + n + after + 1, line, n);
	*size = before + after + 2 * n + 1;
	return text;
}

static void test_long_lines(void **state)
{
	static const struct {
		size_t before, after, piece;
		const char *wanted;
	} rows[] = {
		{0, 70000, 0, "1 " NGINX_IS "2 " NGINX_IS},
		{0, 1000000, 1000, "1 " NGINX_IS "2 " NGINX_IS},
		{60000, 600000, 0, "1 " NGINX_IS "2 " NGINX_IS},
		{60000, 10000, 1, "1 " NGINX_IS "2 " NGINX_IS},
		{65536, 0, 0, "2 " NGINX_IS}, /* not in the first part */
		{65536, 0, 4096, "2 " NGINX_IS},
		{1000000, 0, 0, "2 " NGINX_IS},
		{300000, 300000, 7, "2 " NGINX_IS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t size;
		char *text = around(rows[i].before, rows[i].after, &size);
		char *got = read_log(text, size, rows[i].piece);
		assert_string_equal(got, rows[i].wanted);
		free(got);
		free(text);
	}
}

/* Random text of newlines, long and short lines and failures: the pieces make no difference. */
static size_t random_log(uint64_t *seed, char *out, size_t size)
{
	static const char *const parts[] = {
		NGINX "\n",
		"java.net.BindException: Address already in use\n",
		"Failed to bind to 0.0.0.0:8080\n",
		"\tat io.netty.channel.AbstractChannel\n",
		"  port: 3000\n",
		"  code: 'EADDRINUSE',\n",
		"\n",
		"\r\n",
		"Address already in",
		" use",
	};
	size_t n = 0;

	while (size - n > 20000) {
		uint64_t r = unit_random(seed);
		size_t run = r >> 32 & 7 ? r >> 40 & 63 : r >> 40 & 16383;
		const char *part = parts[r % (sizeof(parts) / sizeof(parts[0]))];
		memset(out + n, 'a', run);
		n += run;
		memcpy(out + n, part, strlen(part));
		n += strlen(part);
	}
	return n;
}

static void test_random_pieces(void **state)
{
	uint64_t seed = unit_seed();
	size_t room = 1u << 20;
	char *text = malloc(room);

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		size_t n = random_log(&seed, text, room);
		size_t piece = 1 + unit_random(&seed) % 70000;
		char *whole = read_log(text, n, 0), *pieces = read_log(text, n, piece);
		assert_string_equal(pieces, whole);
		free(whole);
		free(pieces);
	}
	free(text);
}

/* ------------------------------------------------------------------------------ ordinary lines */

/* Near misses: these words occur where nothing failed. %N a number, %A an address, %W a word. */
static const char *const ordinary[] = {
	"%A - - [11/Mar/2024:09:14:02 +0000] \"GET /%W/%N HTTP/1.1\" 200 %N \"-\" \"curl/8.5.0\"",
	"%A - %W [11/Mar/2024:09:14:02 +0000] \"POST /login?next=address+already+in+use HTTP/2.0\" "
	"302 0",
	"Mar 11 09:14:02 host sshd[%N]: Accepted publickey for %W from %A port %N ssh2",
	"Mar 11 09:14:02 host sshd[%N]: Connection closed by %A port %N [preauth]",
	"Mar 11 09:14:02 host systemd[1]: Started %W.service - The %W daemon.",
	"Mar 11 09:14:02 host systemd[1]: Listening on %W.socket.",
	"Mar 11 09:14:02 host kernel: [%N.%N] eth0: renamed from veth%N",
	"Mar 11 09:14:02 host CRON[%N]: (root) CMD (test -x /usr/sbin/anacron)",
	"{\"level\":\"info\",\"ts\":%N.%N,\"msg\":\"request\",\"remote\":\"%A:%N\",\"status\":200}",
	"{\"level\":\"debug\",\"msg\":\"port %N is not in use\",\"service\":\"%W\"}",
	"2024-03-11 09:14:02.118  INFO %N --- [main] o.s.b.w.embedded.tomcat.TomcatWebServer : "
	"Tomcat "
	"started on port(s): %N (http)",
	"2024-03-11 09:14:02,118 INFO  [org.xnio] (main) XNIO version 3.8.%N.Final",
	"Connection established to %A:%N in %N ms",
	"connection timeout set to %Ns for pool %W",
	"resetting connection pool %W (%N connections)",
	"will retry on connection refused, at most %N times",
	"address already in use is not an error here: SO_REUSEPORT is on for %W",
	"checking that the address in use by %W is %A",
	"retry policy: reset,connect-failure,refused-stream; timed out after %N ms means retry",
	"request %N timed out waiting for a free worker",
	"session of %W timed out after %N s of inactivity, logged out",
	"Lock wait timed out for transaction %N",
	"memory in use: %N MB of %N MB",
	"the volume %W is in use by %W",
	"file %W is already in use by another process",
	"the name \"%W\" is already in use by container %N",
	"user name %W already in use, please choose another",
	"license key already in use on %W",
	"Device or resource busy: /dev/%W is in use",
	"table lock already in use by thread %N",
	"requested address of %W: %A",
	"lease: requested address %A granted to %W",
	"DHCPREQUEST of requested address %A from %W",
	"the payment was refused for order %N",
	"connection reset counter of %W: %N",
	"on reset the pool is filled to %N",
	"no free port range change needed (%N to %N)",
	"defined EADDRINUSE handler for %W",
	"errno table: EADDRINUSE=98 EADDRNOTAVAIL=99 ECONNREFUSED=111 ECONNRESET=104 ETIMEDOUT=110",
	"feature flags: retryOnECONNRESET=true, codes=[\"ECONNRESET\",\"ETIMEDOUT\"]",
	"MySQL server version for the right syntax to use near '%W' at line %N",
	"SQL server %W: %N rows",
	"MariaDB server is ready on port %N",
	"connect error handler installed for %W",
	"GC(%N) Pause Young (Normal) (G1 Evacuation Pause) %NM->%NM(%NM) %N.%Nms",
	"[%N] 11 Mar 09:14:02.118 * Background saving terminated with success",
	"LOG:  checkpoint complete: wrote %N buffers (0.%N%%); write=%N s",
	"LOG:  connection authorized: user=%W database=%W application_name=psql",
	"ERROR:  duplicate key value violates unique constraint \"%W_pkey\"",
	"level=info ts=2024-03-11T09:14:02Z caller=main.go:%N msg=\"Server is ready\" port=%N",
	"I0311 09:14:02.118123 %N kubelet.go:%N] \"SyncLoop UPDATE\" source=\"api\" "
	"pods=[\"default/%W\"]",
	"[2024-03-11T09:14:02.118Z] \"GET /%W HTTP/1.1\" 200 - via_upstream - \"-\" 0 %N %N - "
	"\"%A\"",
	"binding %W to %A:%N succeeded",
	"listen on [::]:%N, backlog %N",
	"Server listening on 0.0.0.0 port %N.",
	"udp: listen udp :%N: bind: address already in use, using the next",
	"bind(%N, {sa_family=AF_UNIX, sun_path=\"/run/%W\"}, 110) = -1 EADDRINUSE (Address already "
	"in use)",
	"DNS: read udp %A:%N->%A:53: read: connection refused; next server",
	"test TestAddressInUse passed in %N ms",
	"	at com.example.%W.EaddrinuseTest.run(EaddrinuseTest.java:%N)",
	"the assistant said that the connection reset by design every %N s",
	"\xd0\xbf\xd0\xbe\xd1\x80\xd1\x82 %N "
	"\xd1\x81\xd0\xb2\xd0\xbe\xd0\xb1\xd0\xbe\xd0\xb4\xd0\xb5\xd0\xbd",
	"USB port %N is in use",
	"Serial port %N is already in use",
	"VM port %N is in use by forwarding rule %W",
	"Failed to connect to bus: Connection refused",
	"Failed to connect to system bus: Connection refused",
	"Failed to reload daemon: Connection timed out",
	"Failed to start session scope: Connection timed out",
	"Failed to start %W.service: Connection timed out",
	"Mar 11 09:14:02 host bluetoothd[%N]: Failed to set mode: Operation timed out",
	"Mar 11 09:14:02 host kernel: ata1: SRST failed (errno=-16): Operation timed out",
	"%W: Failed to set mode: Operation timed out",
	"%A - - [11/Mar/2024:09:14:02 +0000] \"GET /s?q=bind+EADDRINUSE HTTP/1.1\" 200 %N",
	"%A - - [11/Mar/2024:09:14:02 +0000] \"GET /s?q=bind%%20-%%20EADDRINUSE HTTP/1.1\" 200 %N",
	"retryOn: connect-failure,refused-stream,ECONNRESET",
	"ntpd[%N]: bind(21) AF_INET6 fe80::1%%2#123 flags 0x11 failed: Cannot assign requested "
	"address",
	"dnsmasq[%N]: failed to bind DHCP server socket: Address already in use",
	"statsd: sendto 127.0.0.1:8125: Connection refused",
	"QUIC bind 0.0.0.0:443: Address already in use",
	"Error: bind EADDRINUSE 0.0.0.0:5353",
	"  errno: -98,",
	"  code: 'EADDRINUSE',",
	"  syscall: 'bind',",
	"  port: 5353",
	"Error: bind EADDRINUSE: address already in use 0.0.0.0:5353",
	"\xe3\x83\x9d\xe3\x83\xbc\xe3\x83\x88 %N \xff\xfe\xfd",
};

static void fill_in(FILE *out, const char *line, uint64_t *seed)
{
	static const char *const words[] = {"alpha",    "orders", "web-1",  "db",
					    "checkout", "cache",  "user42", "images"};

	for (; *line; line++) {
		uint64_t r = unit_random(seed);
		if (*line != '%') {
			putc(*line, out);
			continue;
		}
		switch (*++line) {
		case 'N':
			fprintf(out, "%u", (unsigned)(r % 65536));
			break;
		case 'A':
			fprintf(out, "10.%u.%u.%u", (unsigned)(r & 255), (unsigned)(r >> 8 & 255),
				(unsigned)(r >> 16 & 255));
			break;
		case 'W':
			fputs(words[r % 8], out);
			break;
		default:
			putc(*line, out);
			break;
		}
	}
	putc('\n', out);
}

static void test_ordinary_lines(void **state)
{
	uint64_t seed = unit_seed();
	size_t kinds = sizeof(ordinary) / sizeof(ordinary[0]);
	struct record r;

	(void)state;
	record_open(&r);
	for (size_t i = 0; i < kinds * 200; i++)
		fill_in(r.out, ordinary[i % kinds], &seed);
	fclose(r.out);
	assert_true(kinds * 200 >= 10000);
	char *got = read_log(r.text, r.size, 0);
	assert_string_equal(got, "");
	free(got);
	free(r.text);
}

/* ------------------------------------------------------------------------------- tables, groups */

/* Each row of the table recognises something of the corpus. */
static uint64_t used[LOG_FORMATS_MAX];

static void count_formats(const char *name, const char *data, size_t size)
{
	char *got = read_log(data, size, 0);

	(void)name;
	for (size_t i = 0; log_format_at(i); i++) {
		char word[64];
		snprintf(word, sizeof(word), " %s ", log_format_at(i)->name);
		used[i] += strstr(got, word) != NULL;
	}
	free(got);
}

static void test_every_format(void **state)
{
	(void)state;
	for_each(count_formats);
	for (size_t i = 0; log_format_at(i); i++) {
		if (!used[i])
			printf("# no line of the corpus is of %s\n", log_format_at(i)->name);
		assert_true(used[i]);
	}
}

static void test_reasons(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
		{"Address already in use", EADDRINUSE},
		{"Address in use", EADDRINUSE},
		{"EADDRINUSE", EADDRINUSE},
		{"Cannot assign requested address", EADDRNOTAVAIL},
		{"Address not available", EADDRNOTAVAIL},
		{"99", EADDRNOTAVAIL},
		{"Connection refused", ECONNREFUSED},
		{"Connection reset by peer", ECONNRESET},
		{"Operation timed out", ETIMEDOUT},
		{"i/o timeout", ETIMEDOUT},
		{"Permission denied", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(log_reason(rows[i].text, strlen(rows[i].text)), rows[i].error);
}

static void test_scan(void **state)
{
	char text[64];
	struct scan s;
	uint64_t breaks = 0;

	(void)state;
	scan_init(&s);
	/* At every place, with every distance to the end. */
	for (size_t at = 0; at + 8 <= sizeof(text); at++) {
		memset(text, ' ', sizeof(text));
		memcpy(text + at, "EADDRINU", 8);
		for (size_t end = at; end <= sizeof(text); end++)
			assert_ptr_equal(scan_find(&s, text, text + end),
					 end >= at + 8 ? text + at : NULL);
	}
	for (size_t n = 0; n < sizeof(text); n++) {
		memset(text, n % 3 ? '\n' + 0x80 : '\v', sizeof(text));
		assert_int_equal(scan_newlines(text, text + n), 0);
		assert_ptr_equal(scan_newline(text, text + n), text + n);
		text[n / 2] = '\n';
		breaks += scan_newlines(text, text + n);
		assert_ptr_equal(scan_newline(text, text + n), text + n / 2);
	}
	assert_int_equal(breaks, sizeof(text) - 1);
}

static void test_groups(void **state)
{
	struct log_groups *g = calloc(1, sizeof(*g));
	struct log_hit h = {.format = "nginx", .error = EADDRINUSE, .port = 80, .line = 3};

	(void)state;
	struct log_group *first = log_groups_add(g, &h, 0);
	h.line = 9;
	assert_ptr_equal(log_groups_add(g, &h, 1), first);
	assert_int_equal(first->count, 2);
	assert_int_equal(first->first.line, 3);
	assert_int_equal(first->last_line, 9);
	assert_int_equal(first->last_file, 1);
	h.error = EADDRNOTAVAIL;
	assert_ptr_not_equal(log_groups_add(g, &h, 1), first);
	for (unsigned i = 0; i < 2 * LOG_GROUPS_MAX; i++) {
		h.port = (uint16_t)(1000 + i);
		log_groups_add(g, &h, 1);
	}
	assert_int_equal(g->n, LOG_GROUPS_MAX);
	assert_int_equal(g->hits, 3 + 2 * LOG_GROUPS_MAX);
	assert_int_equal(g->lost, LOG_GROUPS_MAX + 2);
	/* Full, and still counted. */
	h = first->first;
	assert_ptr_equal(log_groups_add(g, &h, 1), first);
	free(g);
}

/* A half line waits, a failure whose neighbours are waited for does not wait for ever. */
static void test_pause(void **state)
{
	size_t held = 0;
	struct tcpwhy_memory memory = {.resize = resize, .ctx = &held};
	struct record r;

	(void)state;
	record_open(&r);
	struct logs *l = logs_new(&memory, note, &r);
	logs_feed(l, "java.net.BindException: Address already in use\n", 47);
	assert_int_equal(r.hits, 0);
	logs_pause(l);
	assert_int_equal(r.hits, 1);
	logs_feed(l, NGINX, sizeof(NGINX) - 1);
	logs_pause(l);
	assert_int_equal(r.hits, 1);
	logs_feed(l, "\n", 1);
	assert_int_equal(r.hits, 2);
	logs_end(l);
	assert_int_equal(logs_lines(l), 2);
	logs_free(l);
	fclose(r.out);
	free(r.text);
}

static void *no_memory(void *ctx, void *old, size_t old_size, size_t new_size)
{
	size_t *left = ctx;

	if (new_size && !*left)
		return NULL;
	*left -= new_size != 0;
	return heap_resize(NULL, old, old_size, new_size);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (size_t n = 0; n < 40; n++) {
		size_t left = n;
		struct tcpwhy_memory memory = {.resize = no_memory, .ctx = &left};
		assert_null(logs_new(&memory, note, NULL));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),        cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_crlf),          cmocka_unit_test(test_half_lines),
		cmocka_unit_test(test_odd_bytes),     cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_random_pieces), cmocka_unit_test(test_ordinary_lines),
		cmocka_unit_test(test_every_format),  cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_scan),          cmocka_unit_test(test_groups),
		cmocka_unit_test(test_pause),         cmocka_unit_test(test_no_memory),
	};

	if (argc > 1 && !strcmp(argv[1], "--write")) {
		for_each(write_one);
		return 0;
	}
	return unit_run("logs", tests);
}
