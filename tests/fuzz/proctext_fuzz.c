/* SPDX-License-Identifier: MIT
 *
 * proctext_fuzz.c - ip_local_reserved_ports and /proc/PID/cgroup, whatever they hold
 */
#include "fuzz.h"

#include "live/owners.h"
#include "live/sysctl.h"

#include <ctype.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t untouched[2048];
	uint32_t bitmap[2048] = {0};
	char *text = malloc(size + 1), unit[96];

	promise(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (!sysctl_parse_ports(text, bitmap))
		promise(memcmp(bitmap, untouched, sizeof(bitmap)) == 0);
	owners_unit(text, unit, sizeof(unit));
	promise(memchr(unit, '\0', sizeof(unit)));
	for (const char *c = unit; *c; c++)
		promise(isprint((unsigned char)*c));
	free(text);
	return 0;
}
