/* SPDX-License-Identifier: MIT
 *
 * sockdiag_fuzz.c - replies of inet_diag, whatever bytes they hold
 */
#include "fuzz.h"

#include "live/sockdiag.h"

#include <string.h>

static int take(const struct snapshot_owner *owner, void *ctx)
{
	size_t *left = ctx;

	promise(owner->o.port != 0);
	promise(strcmp(tcpwhy_state_name(owner->o.state), "?") != 0);
	promise(owner->o.family == TCPWHY_IPV4 || owner->o.family == TCPWHY_IPV6);
	promise(owner->o.v6only <= TCPWHY_UNKNOWN);
	promise(!owner->o.timewait || owner->o.state == TCPWHY_TIME_WAIT ||
		owner->o.state == TCPWHY_FIN_WAIT2);
	promise(owner->o.uid_known == (owner->inode != 0));
	/* A message takes at least its header, so there are no more than that. */
	promise(*left > 0);
	(*left)--;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netlink_progress progress = {0};
	size_t left = size / 16;

	promise(sockdiag_parse(data, size, 1, &progress, take, &left) == 0);
	promise(progress.error <= 0 && progress.error >= -4095);
	return 0;
}
