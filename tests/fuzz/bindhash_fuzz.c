/* SPDX-License-Identifier: MIT
 *
 * bindhash_fuzz.c - records of the BPF programs, whatever bytes they hold, in two runs with a
 * rewind
 *
 * Input: one byte of options, one that says where the rewind goes, then records.
 */
#include "fuzz.h"

#include "live/bindhash.h"

#include <string.h>

static void check(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->owners_n; i++) {
		const struct tcpwhy_owner *o = &snap->owners[i].o;

		promise(o->tag == i);
		promise(strcmp(tcpwhy_state_name(o->state), "?") != 0);
		promise(o->family == TCPWHY_IPV4 || o->family == TCPWHY_IPV6);
		promise(o->reuse <= TCPWHY_REUSE_UNKNOWN && o->connect_bind <= TCPWHY_UNKNOWN);
		promise(!o->timewait || (o->expires_ns && (o->state == TCPWHY_TIME_WAIT ||
							   o->state == TCPWHY_FIN_WAIT2)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot *snap = calloc(1, sizeof(*snap));
	struct bindhash_reader reader = {.snap = snap, .tick_ns = 4000000, .now_ns = 1000};
	size_t n = size < 2 ? 0 : (size - 2) / sizeof(struct bindhash_record);
	struct bindhash_record *records = calloc(n + 1, sizeof(*records));

	promise(snap && records);
	if (n) {
		reader.without_buckets = data[0] & 1;
		memcpy(records, data + 2, n * sizeof(*records));
		promise(bindhash_take(&reader, records, n) == 0);
		check(snap);
		bindhash_rewind(&reader, data[1]);
		promise(reader.taken <= n && snap->buckets_n <= n);
		promise(bindhash_take(&reader, records, n) == 0);
		check(snap);
	}
	free(reader.marks);
	free(snap->owners);
	free(snap->buckets);
	free(snap);
	free(records);
	return 0;
}
