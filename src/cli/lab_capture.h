/* SPDX-License-Identifier: MIT
 *
 * lab_capture.h - the files of `tcpwhy lab --pcap`: what they are called, and how they come to be
 *
 * What is in them is case/pcap.h's business. A file appears whole under its name or not at all;
 * what is no file (standard output, a FIFO, a device) gets the bytes as they are.
 */
#ifndef TCPWHY_CLI_LAB_CAPTURE_H
#define TCPWHY_CLI_LAB_CAPTURE_H

#include "cli/lab_run.h"

/* Whether the captures can go there, as far as that can be known before: 0, or -errno with
 * err->text; -EINVAL: more than one, to what can hold but one. */
int lab_capture_check(const char *file, size_t plays, struct err *err);

/* "x.pcap" of a play is "x-CASE-STAGE-RELEASE.pcap"; a number above 1 tells plays apart that would
 * be called alike. Of the heap; NULL: no memory. */
char *lab_capture_name(const char *file, const struct lab_job *job, unsigned number);

/* Writes what the play left in its descriptor. 0, or -errno with err->text. */
int lab_capture_save(const char *file, int from, struct err *err);

#endif
