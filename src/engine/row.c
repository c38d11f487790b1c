/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "engine/state.h"

static const struct tcpwhy_row rows[] = {
	{
		.name = "6.18.y",
		.features = TCPWHY_F_AUTOBIND_REUSE | TCPWHY_F_SOCK_PORT_RANGE |
			    TCPWHY_F_BUCKET_RELAXES | TCPWHY_F_TW_REUSE_DELAY |
			    TCPWHY_F_TW_REUSE_NO_FW2 | TCPWHY_F_FASTREUSE_DEAD,
		.defaults =
			{
				.port_low = 32768,
				.port_high = 60999,
				.unprivileged_port_start = 1024,
				.timestamps = true,
				.tw_reuse = 2,
				.tw_reuse_delay_ms = 1000,
				.max_tw_buckets = 131072,
				.fin_timeout_s = 60,
			},
	},
};

const struct tcpwhy_row *tcpwhy_row_at(size_t i)
{
	return i < sizeof(rows) / sizeof(rows[0]) ? &rows[i] : NULL;
}

const struct tcpwhy_row *tcpwhy_row_find(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (text_equal(rows[i].name, name))
			return &rows[i];
	return NULL;
}
