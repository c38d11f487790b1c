/* SPDX-License-Identifier: MIT
 *
 * probe.h - what the running kernel showed of the features that a row is made of
 *
 * Passes from src/live (which tries) to src/load (which settles a row) and to src/report. A feature that
 * was not asked for stands in neither word.
 */
#ifndef TCPWHY_FACTS_PROBE_H
#define TCPWHY_FACTS_PROBE_H

#include "tcpwhy/engine.h"

struct probe {
	uint32_t asked, found;                 /* of enum tcpwhy_feature; found is a part of asked */
	uint32_t packets_asked, packets_found; /* of enum tcpwhy_packet_feature */
	char unseen[160];                      /* why no behaviour was tried; "" it was */
};

#endif
