/* SPDX-License-Identifier: MIT
 *
 * lease_fuzz.c - a pool's file, whatever bytes it holds: never a crash, a hang, or a port outside
 *
 * The first byte says how the rest is meant: 'F': it is the file; else patches of a file that is
 * sound: three bytes of place, one of length, then the bytes; what stands behind the last is
 * forgotten.
 */
#include "fuzz.h"

#include "lease/pool.h"
#include "lease/sweep.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOW = 20000, PORTS = 20 };

static size_t sound_file(uint8_t **out)
{
	struct layout_header h;
	struct layout l;
	void *base;

	layout_make(&h, LOW, LOW + PORTS - 1);
	layout_seal(&h);
	base = calloc(1, h.bytes);
	promise(base);
	memcpy(base, &h, sizeof(h));
	layout_place(&h, base, &l);
	for (uint32_t i = 0; i < PORTS; i++) {
		const struct slot_word w = {.state = SLOT_FREE};

		atomic_store(&l.slots[i].word, slot_pack(LOW + i, &w));
	}
	*out = base;
	return h.bytes;
}

static void patch(uint8_t *file, size_t bytes, const uint8_t *data, size_t size)
{
	while (size > 4) {
		size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2], n = data[3];

		data += 4;
		size -= 4;
		for (size_t i = 0; i < n && i < size; i++)
			file[(at + i) % bytes] = data[i];
		n = n < size ? n : size;
		data += n;
		size -= n;
	}
}

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("pool", MFD_CLOEXEC);
	uint8_t *file;
	size_t bytes;

	promise(fd >= 0);
	if (size && data[0] == 'F') {
		promise(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
		return fd;
	}
	bytes = sound_file(&file);
	if (size)
		patch(file, bytes, data + 1, size - 1);
	promise(write(fd, file, bytes) == (ssize_t)bytes);
	free(file);
	return fd;
}

struct range {
	uint32_t low, high;
	unsigned n;
};

static int check_port(void *ctx, const struct tcpwhy_port *p)
{
	struct range *r = ctx;

	promise(p->port >= r->low && p->port <= r->high);
	promise(p->state <= TCPWHY_PORT_WITHHELD);
	r->n++;
	return 0;
}

static void use(struct tcpwhy_pool *pool)
{
	enum { MANY = 64 };
	const struct tcpwhy_lease_wish random = {.random = true, .ttl_s = 9};
	struct tcpwhy_pool_state s;
	struct tcpwhy_lease leases[2 * MANY];
	struct range r;

	tcpwhy_pool_look(pool, &s);
	r = (struct range){.low = s.low, .high = s.high};
	promise(s.low && s.low <= s.high);
	for (int round = 0; round < 3; round++) {
		int n = tcpwhy_lease(pool, NULL, leases, MANY);
		int more = tcpwhy_lease(pool, &random, leases + MANY, MANY);

		promise(n <= MANY && more <= MANY);
		for (int i = 0; i < n; i++)
			promise(leases[i].port >= r.low && leases[i].port <= r.high);
		for (int i = 0; i < more; i++)
			promise(leases[MANY + i].port >= r.low && leases[MANY + i].port <= r.high);
		if (n > 0)
			promise(tcpwhy_lease_release(pool, leases, (unsigned)n) <= n);
		tcpwhy_lease_revoke(pool, s.low);
		sweep_all(pool, UINT64_MAX / 2);
	}
	r.n = 0;
	if (tcpwhy_pool_list(pool, check_port, &r) == 0)
		promise(r.n == (unsigned)(s.high - s.low) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcpwhy_pool *pool;
	enum layout_fault fault;
	int fd = file_of(data, size);

	if (pool_attach(fd, false, &pool, &fault)) {
		close(fd);
		return 0;
	}
	use(pool);
	tcpwhy_pool_close(pool);
	return 0;
}
