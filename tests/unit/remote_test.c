/* SPDX-License-Identifier: MIT
 *
 * rtnl, hostns, tap and remote on the real kernel: a host, and we are the other end of its wire
 */
#include "unit.h"

#include "case/hostns.h"
#include "case/remote.h"
#include "stage.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct remote open_remote(void)
{
	struct remote r;
	struct err err;

	STAGE_DO(remote_open(&r, &err));
	return r;
}

/* A socket of the host that listens on [::]:80, for both families. */
static int listen_on_80(const struct remote *r)
{
	struct sockaddr_storage any;
	struct err err;
	const struct tcpwhy_addr all = {0};
	const int fd = hostns_socket(&r->host, AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0, &err);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (void *)&any, stage_sockaddr(&any, &all, 80)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static struct frame next(const struct remote *r, uint8_t *buf)
{
	struct frame f;

	assert_int_equal(remote_receive(r, buf, FRAME_MAX, stage_deadline(), &f), 0);
	return f;
}

static struct frame our_syn(enum tcpwhy_family family)
{
	return (struct frame){.from = remote_our_addr(family),
			      .to = remote_host_addr(family),
			      .from_port = 40000,
			      .to_port = 80,
			      .flags = FRAME_SYN,
			      .seq = 1000,
			      .window = 65535,
			      .has_mss = true,
			      .mss = 1460};
}

static void shake_hands(enum tcpwhy_family family)
{
	struct remote r = open_remote();
	const int listener = listen_on_80(&r);
	static uint8_t buf[FRAME_MAX];
	struct frame f = our_syn(family);
	char got[8];

	assert_int_equal(remote_send(&r, &f), 0);
	const struct frame synack = next(&r, buf);
	assert_int_equal(synack.flags, FRAME_SYN | FRAME_ACK);
	assert_int_equal(synack.ack, 1001);
	f.flags = FRAME_ACK | FRAME_PSH;
	f.seq = 1001;
	f.ack = synack.seq + 1;
	f.payload = (const uint8_t *)"hello";
	f.payload_len = 5;
	assert_int_equal(remote_send(&r, &f), 0);
	const struct frame ack = next(&r, buf);
	assert_int_equal(ack.flags, FRAME_ACK);
	assert_int_equal(ack.ack, 1006);
	const int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(s >= 0);
	assert_int_equal(recv(s, got, sizeof(got), MSG_DONTWAIT), 5);
	close(s);
	const struct frame fin = next(&r, buf);
	assert_int_equal(fin.flags, FRAME_FIN | FRAME_ACK);
	close(listener);
	remote_close(&r);
}

static void a_handshake_by_hand_v4(void **state)
{
	(void)state;
	shake_hands(TCPWHY_IPV4);
}

static void a_handshake_by_hand_v6(void **state)
{
	(void)state;
	shake_hands(TCPWHY_IPV6);
}

/* Our side has no TCP: what the host sends is answered by nobody but us. Any address leads here. */
static void only_we_answer(void **state)
{
	(void)state;
	struct remote r = open_remote();
	struct err err;
	struct sockaddr_storage to;
	static uint8_t buf[FRAME_MAX];
	struct frame none;

	for (int v6 = 0; v6 < 2; v6++) {
		const struct tcpwhy_addr far = v6 ? (struct tcpwhy_addr){{0x20, 1, [15] = 9}}
						  : address_v4_number(0xc0000201);
		const int fd = hostns_socket(&r.host, v6 ? AF_INET6 : AF_INET,
					     SOCK_STREAM | SOCK_NONBLOCK, 0, &err);

		assert_true(fd >= 0);
		assert_int_equal(connect(fd, (void *)&to, stage_sockaddr(&to, &far, 443)), -1);
		assert_int_equal(errno, EINPROGRESS);
		const struct frame syn = next(&r, buf);
		assert_int_equal(syn.flags, FRAME_SYN);
		assert_true(address_equal(&syn.to, &far));
		assert_int_equal(remote_receive(&r, buf, sizeof(buf), 0, &none), -ETIMEDOUT);
		struct frame rst = frame_reply(&syn);
		rst.flags = FRAME_RST | FRAME_ACK;
		rst.ack = syn.seq + 1;
		assert_int_equal(remote_send(&r, &rst), 0);
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		assert_int_equal(poll(&p, 1, 5000), 1);
		int error = 0;
		socklen_t len = sizeof(error);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
		assert_int_equal(error, ECONNREFUSED);
		close(fd);
	}
	remote_close(&r);
}

/* Segments of 64 KiB, checksums that are only half computed: a wire carries neither. */
static void the_host_sends_what_a_wire_would_carry(void **state)
{
	(void)state;
	struct remote r = open_remote();
	const int listener = listen_on_80(&r);
	static uint8_t buf[FRAME_MAX], data[8000];
	struct frame f = our_syn(TCPWHY_IPV4);

	assert_int_equal(remote_send(&r, &f), 0);
	const struct frame synack = next(&r, buf);
	f.flags = FRAME_ACK;
	f.seq = 1001;
	f.ack = synack.seq + 1;
	assert_int_equal(remote_send(&r, &f), 0);
	struct pollfd p = {.fd = listener, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	const int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(send(s, data, sizeof(data), MSG_DONTWAIT), sizeof(data));
	for (size_t seen = 0; seen < sizeof(data);) {
		const struct frame d = next(&r, buf); /* -EBADMSG for a wrong checksum */
		assert_true(d.payload_len > 0 && d.payload_len <= 1460);
		seen += d.payload_len;
	}
	close(s);
	close(listener);
	remote_close(&r);
}

static void sysctls_are_the_hosts_own(void **state)
{
	(void)state;
	struct remote r = open_remote();
	struct err err;
	char value[32];

	assert_int_equal(
		hostns_set_sysctl(&r.host, "ipv4/ip_local_port_range", "61000 61001", &err), 0);
	assert_int_equal(
		hostns_get_sysctl(&r.host, "ipv4/ip_local_port_range", value, sizeof(value), &err),
		0);
	assert_string_equal(value, "61000\t61001");
	assert_int_equal(
		hostns_get_sysctl(&r.wire, "ipv4/ip_local_port_range", value, sizeof(value), &err),
		0);
	assert_string_equal(value, "32768\t60999");
	assert_int_equal(hostns_set_sysctl(&r.host, "ipv4/no_such_knob", "1", &err), -ENOENT);
	assert_non_null(strstr(err.text, "no_such_knob"));
	assert_int_equal(hostns_set_sysctl(&r.host, "ipv4/tcp_tw_reuse", "7", &err), -EINVAL);
	assert_int_equal(hostns_get_sysctl(&r.host, "ipv4/ip_local_port_range", value, 4, &err),
			 -ENAMETOOLONG);
	remote_close(&r);
}

static void a_frame_beyond_the_mtu_is_refused(void **state)
{
	(void)state;
	struct remote r = open_remote();
	static uint8_t data[1500];
	struct frame f = our_syn(TCPWHY_IPV4);

	f.payload = data;
	f.payload_len = 1500 - 44;
	assert_int_equal(remote_send(&r, &f), 0);
	f.payload_len++;
	assert_int_equal(remote_send(&r, &f), -EMSGSIZE);
	remote_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_by_hand_v4),
		cmocka_unit_test(a_handshake_by_hand_v6),
		cmocka_unit_test(only_we_answer),
		cmocka_unit_test(the_host_sends_what_a_wire_would_carry),
		cmocka_unit_test(sysctls_are_the_hosts_own),
		cmocka_unit_test(a_frame_beyond_the_mtu_is_refused),
	};

	stage_permit();
	return unit_run("remote", tests);
}
