/* SPDX-License-Identifier: MIT
 *
 * procnet_fuzz.c - the text of /proc/net/tcp and tcp6, whatever it holds
 */
#include "fuzz.h"

#include "live/procnet.h"

#include <string.h>
#include <sys/socket.h>

static int take(const struct snapshot_owner *owner, void *ctx)
{
	(void)ctx;
	promise(owner->o.port != 0);
	promise(strcmp(tcpwhy_state_name(owner->o.state), "?") != 0);
	promise(!owner->o.timewait || owner->o.state == TCPWHY_TIME_WAIT ||
		owner->o.state == TCPWHY_FIN_WAIT2);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	promise(procnet_parse((const char *)data, size, AF_INET, 1, take, NULL) == 0);
	promise(procnet_parse((const char *)data, size, AF_INET6, 1, take, NULL) == 0);
	return 0;
}
