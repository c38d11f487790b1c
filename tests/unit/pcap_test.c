/* SPDX-License-Identifier: MIT
 *
 * pcap: what a trace says as a file, read back by libpcap and by tshark
 */
#include "world_fixture.h"

#include "case/frame.h"
#include "case/kernel_stage.h"
#include "case/pcap.h"

#include <pcap/pcap.h>
#include <unistd.h>

static char path[] = "/tmp/tcpwhy-pcap.XXXXXX";

/* ----------------------------------------------------------------------------------- what is
 * played
 */

/* A handshake, data of which the second segment is lost and sent again, both FINs. 0 or what the
 * stage said. */
static void wait_ms(uint64_t ms)
{
	assert_int_equal(on->pause(st, ms * MS, &err), 0);
}

static int is_ended(void *ctx)
{
	const struct stage_sock *k = ctx;
	struct stage_sock found;

	return on->find(st, on->host_of(st, k->sock), &k->local, k->port, &k->peer, k->peer_port,
			&found) == -ENOENT;
}

static int has_all(void *ctx)
{
	struct stage_sock k;

	return !on->look(st, *(int *)ctx, &k) && k.unread == 300;
}

static void play(bool v6)
{
	const struct tcpwhy_addr a = at(v6 ? "fd00::1" : "10.0.0.1"),
				 b = at(v6 ? "fd00::2" : "10.0.0.2");
	const struct line_control drop = {
		.pick.data = LINE_DATA, .action = LINE_DROP, .skip = 1, .times = 1};
	const enum tcpwhy_family family = v6 ? TCPWHY_IPV6 : TCPWHY_IPV4;
	const struct stage_host hosts[] = {{.name = "a"}, {.name = "b"}};
	const struct stage_link l = {.ends = {{0, &a, 1}, {1, &b, 1}}, .tapped = true};

	for (unsigned i = 0; i < 2; i++)
		assert_true(on->add_host(st, &hosts[i], &err) >= 0);
	assert_int_equal(on->add_link(st, &l, &err), 0);
	assert_int_equal(on->start(st, &err), 0);
	/* or the missing one comes before the time-out (RACK) */
	assert_int_equal(on->set_sysctl(st, 0, "net.ipv4.tcp_sack", "0", &err), 0);
	const int listening = on->socket(st, 1, family, 0);
	assert_int_equal(on->bind(st, listening, &b, 80), 0);
	assert_int_equal(on->listen(st, listening, 4), 0);
	const int client = on->socket(st, 0, family, 0);
	on->connect(st, client, &b, 80);
	int server;
	for (int i = 0; (server = on->accept(st, listening)) < 0 && i < 5000; i++)
		wait_ms(1);
	assert_true(server >= 0);
	assert_true(on->add_control(st, 0, LINE_FROM_0, &drop, &err) >= 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(on->send(st, client, 100), 100);
	assert_int_equal(on->run_until(st, has_all, &server, 10 * S, &err), 0);
	struct stage_sock last;
	assert_int_equal(on->look(st, server, &last), 0);
	assert_int_equal(on->recv(st, server, 1000), 300);
	on->close(st, client);
	for (int i = 0; on->recv(st, server, 10) < 0 && i < 5000; i++)
		wait_ms(1);
	last.sock = listening; /* a socket of that host */
	on->close(st, server);
	assert_int_equal(on->run_until(st, is_ended, &last, 10 * S, &err), 0);
}

static void write_file(bool v6)
{
	play(v6);
	const int n = pcapfile_write_stage(path, st, -1, &err);
	if (n < 0)
		fail_msg("%s", err.text);
	assert_int_equal(n, (int)on->trace_count(st));
	assert_true(n >= 12);
	on->free(st);
}

/* ------------------------------------------------------------------------------------ what is read
 */

/* What fits into 1,500 bytes behind the headers. */
static void announces(const struct frame *f, bool v6)
{
	if (f->flags & FRAME_SYN) {
		assert_true(f->has_mss);
		assert_int_equal(f->mss, v6 ? 1440 : 1460);
	}
}

/* Every frame is sound, checksums too, and the relative numbers are those of the play. */
static void frames_are_sound(bool v6)
{
	char text[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	const u_char *bytes;
	uint64_t last = 0;
	pcap_t *p = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, text);

	assert_non_null(p);
	assert_int_equal(pcap_datalink(p), DLT_EN10MB);
	unsigned n = 0, fins = 0;
	while (pcap_next_ex(p, &h, &bytes) == 1) {
		const uint64_t now = (uint64_t)h->ts.tv_sec * S + (uint64_t)h->ts.tv_usec;
		struct frame f;
		assert_int_equal(h->caplen, h->len);
		assert_int_equal(frame_read(bytes, h->caplen, &f), FRAME_TCP);
		assert_int_equal(address_is_v4(&f.from), !v6);
		announces(&f, v6);
		assert_true(now >= last);
		last = now;
		fins += f.flags & FRAME_FIN ? 1 : 0;
		n++;
	}
	pcap_close(p);
	assert_true(n >= 12 && fins == 2);
}

/* The number of lines that tshark shows with these arguments, and without anyone's settings. */
static int shown(const char *arguments, char *first, size_t size)
{
	char command[512], line[256];
	int n = 0;

	snprintf(command, sizeof(command),
		 "HOME=/nonexistent tshark -r %s -o tcp.check_checksum:TRUE -o "
		 "ip.check_checksum:TRUE %s 2>/dev/null",
		 path, arguments);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (n++ == 0 && first)
			snprintf(first, size, "%s", line);
	assert_int_equal(pclose(f), 0);
	return n;
}

static void tshark_agrees(int frames)
{
	char line[256] = "";

	if (system("command -v tshark >/dev/null 2>&1") != 0)
		unit_skip("no tshark: what Wireshark says of our files is not known here");
	assert_true(shown("", NULL, 0) >= frames);
	assert_int_equal(shown("-Y _ws.malformed", NULL, 0), 0);
	assert_int_equal(shown("-Y 'tcp.checksum.status != 1 || ip.checksum.status != 1'", NULL, 0),
			 0);
	/* after the time-out both segments of 100 bytes go as one */
	assert_int_equal(shown("-Y 'tcp.analysis.retransmission'", NULL, 0), 1);
	assert_int_equal(
		shown("-Y tcp.analysis.retransmission -T fields -e tcp.seq -e tcp.len", line, 256),
		1);
	assert_string_equal(line, "101\t200\n");
	/* nothing but the loss is strange: it may be called a gap, a duplicate ACK, a
	 * retransmission */
	assert_int_equal(shown("-Y 'tcp.analysis.flags && !tcp.analysis.retransmission && "
			       "!tcp.analysis.duplicate_ack && !tcp.analysis.out_of_order && "
			       "!tcp.analysis.lost_segment && !tcp.analysis.keep_alive'",
			       line, 256),
			 0);
	/* the last ACK: both FINs count */
	assert_int_equal(shown("-Y 'tcp.seq == 302 && tcp.ack == 2'", NULL, 0), 1);
}

/* ------------------------------------------------------------------------------------------- tests
 */

static void of_the_world(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		world_open("6.18.y", 1);
		write_file(v6);
		frames_are_sound(v6);
	}
	tshark_agrees(12);
}

static void of_the_kernel(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const struct kernel_stage_config c = {.row = NULL};
		const int rc = kernel_stage_new(&c, &st, &err);
		if (rc == STAGE_CANNOT)
			unit_skip(err.text);
		assert_int_equal(rc, 0);
		on = st->ops;
		write_file(v6);
		frames_are_sound(v6);
	}
	tshark_agrees(12);
}

struct made {
	struct line_record r[3];
	size_t n;
	uint8_t head[STAGE_HEAD]; /* of each */
	size_t head_n;
};

static size_t of_frame(void *ctx, size_t i, uint8_t out[static STAGE_HEAD])
{
	const struct made *m = ctx;

	(void)i;
	memcpy(out, m->head, STAGE_HEAD);
	return m->head_n;
}

static bool of_made(void *ctx, size_t i, struct line_record *out)
{
	const struct made *m = ctx;

	if (i >= m->n)
		return false;
	*out = m->r[i];
	return true;
}

static struct frame frame_at(unsigned i)
{
	char text[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	const u_char *bytes;
	struct frame f = {0};
	pcap_t *p = pcap_open_offline(path, text);

	assert_non_null(p);
	for (unsigned k = 0; k <= i; k++)
		assert_int_equal(pcap_next_ex(p, &h, &bytes), 1);
	assert_int_equal(frame_read(bytes, h->caplen, &f), FRAME_TCP);
	pcap_close(p);
	f.payload = NULL;
	return f;
}

static struct made made(void)
{
	const struct segment s = {
		.from = at("10.0.0.1"), .to = at("10.0.0.2"), .from_port = 1, .to_port = 2};
	struct made m = {.n = 3};

	for (unsigned i = 0; i < 3; i++)
		m.r[i] = (struct line_record){.sent_ns = i, .segment = s};
	m.r[0].segment.flags = SEGMENT_SYN;
	m.r[0].segment.window = 65535;
	m.r[1].segment.flags = SEGMENT_ACK;
	m.r[1].segment.window = 1000000;
	m.r[2].segment.flags = SEGMENT_ACK;
	m.r[2].segment.has_sack = true;
	m.r[2].segment.sack_left = 70;
	m.r[2].segment.sack_edge = 77;
	return m;
}

static void wide_windows_are_scaled(void **state)
{
	(void)state;
	struct made m = made();
	const struct pcapfile_source s = {.record = of_made, .ctx = &m, .link = -1};

	assert_int_equal(pcapfile_write(path, &s, &err), 3);
	const struct frame syn = frame_at(0), ack = frame_at(1), sack = frame_at(2);
	assert_true(syn.has_wscale);
	assert_int_equal(syn.wscale, 4);
	assert_int_equal(syn.window, 65535);
	assert_int_equal(ack.window, 1000000 >> 4);
	assert_int_equal(sack.n_sacks, 1);
	assert_int_equal(sack.sacks[0].left, 70);
	assert_int_equal(sack.sacks[0].right, 77);
	m.r[1].segment.window = 65535;
	assert_int_equal(pcapfile_write(path, &s, &err), 3);
	assert_false(frame_at(0).has_wscale);
	assert_int_equal(frame_at(1).window, 65535);
}

/* Three SACK blocks, a TTL and an MSS that no record tells of, and 1,000 bytes of which 192 minus
 * the headers were kept. */
static void headers_are_those_of_the_frame(void **state)
{
	(void)state;
	uint8_t whole[2000], payload[1000];
	struct made m = made();
	const struct frame sent = {
		.from = at("fd00::1"),
		.to = at("fd00::2"),
		.from_port = 7,
		.to_port = 8,
		.ttl = 63,
		.flags = FRAME_ACK,
		.has_mss = true,
		.mss = 1220,
		.n_sacks = 3,
		.sacks = {{200, 300}, {400, 500}, {600, 700}},
		.payload_len = sizeof(payload),
		.payload = payload,
	};
	const struct pcapfile_source s = {
		.record = of_made, .head = of_frame, .ctx = &m, .link = -1};

	memset(payload, 0xa5, sizeof(payload));
	assert_true(frame_build(&sent, whole, sizeof(whole)) > STAGE_HEAD);
	memcpy(m.head, whole, STAGE_HEAD);
	m.head_n = STAGE_HEAD;
	assert_int_equal(pcapfile_write(path, &s, &err), 3);
	const struct frame f = frame_at(1); /* its checksum is right, too */
	assert_int_equal(f.from_port, 7);
	assert_int_equal(f.ttl, 63);
	assert_int_equal(f.mss, 1220);
	assert_int_equal(f.n_sacks, 3);
	assert_int_equal(f.sacks[1].left, 400);
	assert_int_equal(f.sacks[2].right, 700);
	assert_int_equal(f.payload_len, 1000);
	assert_int_equal(f.from_mac[0], 2);
	m.head_n = 60; /* cut within the headers */
	assert_int_equal(pcapfile_write(path, &s, &err), 3);
	assert_int_equal(frame_at(1).from_port, 1);
}

static void one_link_may_be_chosen(void **state)
{
	(void)state;
	struct made m = made();
	const struct pcapfile_source s = {.record = of_made, .ctx = &m, .link = 5};

	m.r[1].link = 5;
	assert_int_equal(pcapfile_write(path, &s, &err), 1);
	assert_int_equal(frame_at(0).flags, FRAME_ACK);
	assert_int_equal(frame_at(0).from_mac[4], 5);
}

static void what_cannot_be_written_is_told(void **state)
{
	(void)state;
	struct made m = made();
	const struct pcapfile_source s = {.record = of_made, .ctx = &m, .link = -1};

	assert_int_equal(pcapfile_write("/nonexistent/x.pcap", &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/x.pcap"));
	m.r[1].segment.length = 70000;
	assert_int_equal(pcapfile_write(path, &s, &err), -EMSGSIZE);
	if (access("/dev/full", W_OK) == 0) {
		m = made();
		assert_int_equal(pcapfile_write("/dev/full", &s, &err), -EIO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first, while there is one thread */
		cmocka_unit_test(of_the_kernel),
		cmocka_unit_test(of_the_world),
		cmocka_unit_test(wide_windows_are_scaled),
		cmocka_unit_test(headers_are_those_of_the_frame),
		cmocka_unit_test(one_link_may_be_chosen),
		cmocka_unit_test(what_cannot_be_written_is_told),
	};
	const int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	const int failed = unit_run("pcap", tests);
	unlink(path);
	return failed;
}
