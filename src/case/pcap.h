/* SPDX-License-Identifier: MIT
 *
 * pcap.h - a trace as a capture file, for Wireshark and its like
 *
 * Frames are rebuilt from the records, with right lengths and checksums; their payload is zeros,
 * for nobody kept it. What a tap in the middle of the link would have seen, when it would have seen
 * it: segments that were lost or held behind it are there, too. Windows beyond 65,535 are told with
 * the window scale option, which the hosts never sent; a SYN has an MSS. Times count from 1970.
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
