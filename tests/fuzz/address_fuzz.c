/* SPDX-License-Identifier: MIT
 *
 * address_fuzz.c - replies of rtnetlink (devices, routes, addresses), whatever bytes they hold
 */
#include "fuzz.h"

#include "live/address.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot *snap = calloc(1, sizeof(*snap));
	struct address_vrfs *vrfs = calloc(1, sizeof(*vrfs));
	struct address_parse parse = {.snap = snap, .vrfs = vrfs};

	promise(snap && vrfs);
	promise(address_take(data, size, &parse) == 0);
	promise(parse.progress.error <= 0 && parse.progress.error >= -4095);
	promise(vrfs->n <= ADDRESS_VRFS_MAX);
	for (size_t i = 0; i < snap->locals_n; i++) {
		promise(snap->locals[i].prefix_len <= 128);
		promise(snap->locals[i].kind <= TCPWHY_LOCAL_TENTATIVE);
	}
	for (size_t i = 0; i < snap->devices_n; i++)
		promise(memchr(snap->devices[i].name, '\0', sizeof(snap->devices[i].name)));
	free(snap->locals);
	free(snap->devices);
	free(snap);
	free(vrfs);
	return 0;
}
