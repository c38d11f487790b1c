/* SPDX-License-Identifier: MIT
 *
 * pool.c - makes and shows a pool of ports, for tests of tcpwhy run --lease
 *
 * pool create LOW HIGH; pool list: a line for each port that is leased, with its holder.
 */
#include "tcpwhy/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int show(void *ctx, const struct tcpwhy_port *p)
{
	(void)ctx;
	if (p->state == TCPWHY_PORT_LEASED)
		printf("%u %d\n", p->port, (int)p->pid);
	return 0;
}

int main(int argc, char **argv)
{
	struct tcpwhy_pool_why why = {""};
	struct tcpwhy_pool *pool;
	int failed;

	if (argc == 4 && !strcmp(argv[1], "create")) {
		struct tcpwhy_pool_plan plan = {.low = (uint16_t)strtoul(argv[2], NULL, 10),
						.high = (uint16_t)strtoul(argv[3], NULL, 10),
						.group = (gid_t)-1};

		failed = tcpwhy_pool_create(&plan, &why);
	} else {
		failed = tcpwhy_pool_open(NULL, true, &pool, &why);
		if (!failed) {
			tcpwhy_pool_list(pool, show, NULL);
			tcpwhy_pool_close(pool);
		}
	}
	if (failed)
		fprintf(stderr, "pool: %s: %s\n", strerror(-failed), why.text);
	return failed != 0;
}
