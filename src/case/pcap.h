/* SPDX-License-Identifier: MIT
 *
 * pcap.h - a trace as a capture file, for Wireshark and its like
 *
 * What a tap in the middle of the link would have seen, when it would have seen it: segments that
 * were lost or held behind it are there, too. Where there were frames, their IP and TCP headers are
 * what they were; else they are built from the records, and invented are a SYN's MSS, the TTL, the
 * order of the options, and the window scale option where a window is beyond 65,535, and of SACK
 * there is the right-most block. Payload is always zeros, for nobody kept it, and the checksum
 * is theirs. Times count from 1970.
 *
 * Each link has addresses of its own on the Ethernet. Where one segment crosses two tapped links it
 * is there twice, and is taken for a retransmission: write a link at a time.
 */
#ifndef TCPWHY_CASE_PCAP_H
#define TCPWHY_CASE_PCAP_H

#include "case/stage.h"

struct pcapfile_source {
	/* The i-th record; false: there is none. */
	bool (*record)(void *ctx, size_t i, struct line_record *out);
	/* The first bytes of its frame (stage_ops.head). NULL: there were no frames. */
	size_t (*head)(void *ctx, size_t i, uint8_t out[static STAGE_HEAD]);
	void *ctx;
	int link; /* -1: all */
};

/* Writes or overwrites the file. How many frames, or -errno with err->text. */
int pcapfile_write(const char *path, const struct pcapfile_source *source, struct err *err);
/* The trace of a stage, as far as it was kept. */
int pcapfile_write_stage(const char *path, struct stage *st, int link, struct err *err);
/* The same, to where the descriptor stands; it stays open. */
int pcapfile_write_stage_to(int fd, struct stage *st, int link, struct err *err);

#endif
