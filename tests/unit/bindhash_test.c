/* SPDX-License-Identifier: MIT */
#include "live/bindhash.h"
#include "unit.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define TICK 4000000

static struct snapshot snap;
static struct bindhash_reader reader;

static int begin(void **state)
{
	(void)state;
	memset(&snap, 0, sizeof(snap));
	reader = (struct bindhash_reader){.snap = &snap, .tick_ns = TICK, .now_ns = 1000};
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(snap.owners);
	free(snap.buckets);
	free(reader.marks);
	return 0;
}

static void take(struct bindhash_record r)
{
	assert_int_equal(bindhash_take(&reader, &r, 1), 0);
}

static struct bindhash_record bucket(uint16_t port, int8_t fastreuse)
{
	return (struct bindhash_record){
		.kind = BINDHASH_BUCKET, .port = port, .fastreuse = fastreuse, .device = 7};
}

static struct bindhash_record owner(uint16_t port, uint8_t state)
{
	return (struct bindhash_record){.kind = BINDHASH_OWNER,
					.family = AF_INET,
					.port = port,
					.state = state,
					.local = {127, 0, 0, 1}};
}

static void test_owner(void **state)
{
	struct bindhash_record r = owner(80, TCPWHY_ESTABLISHED);
	const struct tcpwhy_addr local = {{[10] = 0xff, 0xff, 127, 0, 0, 1}};

	(void)state;
	r.flags = BINDHASH_REUSEPORT | BINDHASH_UID | BINDHASH_CONNECT_SHOWN;
	r.reuse = 1;
	r.uid = 5;
	r.inode = 77;
	r.peer_be = htons(1234);
	memcpy(r.peer, (uint8_t[]){10, 0, 0, 1}, 4);
	take(bucket(80, 0));
	take(r);
	assert_int_equal(snap.owners_n, 1);
	assert_memory_equal(&snap.owners[0].o.local, &local, sizeof(local));
	assert_int_equal(snap.owners[0].o.peer.b[12], 10);
	assert_int_equal(snap.owners[0].o.peer_port, 1234);
	assert_int_equal(snap.owners[0].o.reuse, TCPWHY_REUSE_CAN);
	assert_int_equal(snap.owners[0].o.reuseport, TCPWHY_YES);
	assert_int_equal(snap.owners[0].o.connect_bind, TCPWHY_NO);
	assert_int_equal(snap.owners[0].o.l3mdev, 7);
	assert_int_equal(snap.owners[0].inode, 77);
	assert_true(snap.owners[0].o.uid_known && snap.owners[0].o.uid == 5);
}

static void test_bound_only_is_close(void **state)
{
	(void)state;
	take(bucket(80, 0));
	take(owner(80, TCPWHY_CLOSE));
	assert_int_equal(snap.owners[0].o.state, TCPWHY_BOUND);
	assert_int_equal(snap.owners[0].o.peer.b[10], 0); /* none: all zero */
}

static void test_timewait_ends_in_ticks(void **state)
{
	struct bindhash_record r = owner(80, TCPWHY_FIN_WAIT2);

	(void)state;
	r.flags = BINDHASH_TIMEWAIT | BINDHASH_TIMESTAMPS;
	r.left = 15000;
	take(bucket(80, 0));
	take(r);
	r.left = -3; /* due, not yet run */
	take(r);
	assert_true(snap.owners[0].o.timewait && snap.owners[0].o.timestamps);
	assert_int_equal(snap.owners[0].o.expires_ns, 1000 + UINT64_C(60000000000));
	assert_int_equal(snap.owners[1].o.expires_ns, 1001);
	assert_false(snap.owners[0].o.uid_known);
}

/* Before 6.18 the bit is not kept: the lock and the bucket tell what they can. */
static void test_who_chose_the_port_on_old_kernels(void **state)
{
	struct bindhash_record locked = owner(80, TCPWHY_ESTABLISHED);

	(void)state;
	locked.flags = BINDHASH_PORT_LOCKED;
	take(bucket(80, -1));
	take(owner(80, TCPWHY_ESTABLISHED));
	take(bucket(81, 0));
	locked.port = 81;
	take(locked);
	take(owner(81, TCPWHY_ESTABLISHED));
	assert_int_equal(snap.owners[0].o.connect_bind, TCPWHY_YES);
	assert_int_equal(snap.owners[1].o.connect_bind, TCPWHY_NO);
	assert_int_equal(snap.owners[2].o.connect_bind, TCPWHY_UNKNOWN);
}

/* The kernel leaves stale bytes in the fields it does not look at. */
static void test_bucket_fields_count_with_reuseport_only(void **state)
{
	struct bindhash_record b = bucket(80, 0);

	(void)state;
	b.uid = 99;
	b.family = AF_INET6;
	b.local[0] = 0x20;
	take(b);
	b.fastreuseport = 2;
	take(b);
	assert_int_equal(snap.buckets[0].fastuid, 0);
	assert_int_equal(snap.buckets[1].fastuid, 99);
	assert_int_equal(snap.buckets[1].fast_family, TCPWHY_IPV6);
	assert_int_equal(snap.buckets[1].fast_addr.b[0], 0x20);
}

static void test_nonsense_is_passed_over(void **state)
{
	struct bindhash_record r = owner(80, TCPWHY_LISTEN);

	(void)state;
	take(r); /* before any bucket */
	take(bucket(80, 0));
	r.port = 81; /* not this bucket's */
	take(r);
	r = owner(80, 12); /* no state of an owner */
	take(r);
	r = owner(80, TCPWHY_TIME_WAIT); /* not a mini-socket */
	take(r);
	r = owner(80, TCPWHY_LISTEN);
	r.family = 1;
	take(r);
	r.kind = 9;
	take(r);
	assert_int_equal(snap.owners_n, 0);
	assert_int_equal(snap.buckets_n, 1);
	assert_int_equal(reader.taken, 7);
}

/* A chain that changed is sent again from its first bucket. */
static void test_rewind(void **state)
{
	(void)state;
	take(bucket(80, 0));
	take(owner(80, TCPWHY_LISTEN));
	take(bucket(81, 0));
	take(owner(81, TCPWHY_LISTEN));
	take(owner(81, TCPWHY_ESTABLISHED));
	bindhash_rewind(&reader, 2);
	assert_int_equal(snap.owners_n, 1);
	assert_int_equal(snap.buckets_n, 1);
	assert_int_equal(reader.taken, 2);
	take(owner(81, TCPWHY_LISTEN)); /* of no bucket now */
	assert_int_equal(snap.owners_n, 1);
	bindhash_rewind(&reader, 9);
	assert_int_equal(reader.taken, 3);
	bindhash_rewind(&reader, 0);
	assert_int_equal(snap.owners_n + snap.buckets_n, 0);
}

static void test_a_tick_is_a_tick(void **state)
{
	uint64_t tick = bindhash_tick_ns();

	(void)state;
	assert_true(tick == 10000000 || tick == 4000000 || tick == 3333333 || tick == 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owner, begin, end),
		cmocka_unit_test_setup_teardown(test_bound_only_is_close, begin, end),
		cmocka_unit_test_setup_teardown(test_timewait_ends_in_ticks, begin, end),
		cmocka_unit_test_setup_teardown(test_who_chose_the_port_on_old_kernels, begin, end),
		cmocka_unit_test_setup_teardown(test_bucket_fields_count_with_reuseport_only, begin,
						end),
		cmocka_unit_test_setup_teardown(test_nonsense_is_passed_over, begin, end),
		cmocka_unit_test_setup_teardown(test_rewind, begin, end),
		cmocka_unit_test(test_a_tick_is_a_tick),
	};

	return unit_run("bindhash", tests);
}
