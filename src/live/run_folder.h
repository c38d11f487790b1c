/* SPDX-License-Identifier: MIT
 *
 * run_folder.h - /run/tcpwhy, which several have their files in
 *
 * The journal, the kept types and the pool of ports lie in it, each with a mode of its own. Who
 * comes first makes it, with whatever umask; so it gets one mode from all of them, with which the
 * users of a pool come through (lease/place.c makes it alike).
 */
#ifndef TCPWHY_LIVE_RUN_FOLDER_H
#define TCPWHY_LIVE_RUN_FOLDER_H

/* Makes it with mode 0755; one that is there stays as it is. 0 or -errno. */
int run_folder_make(const char *path);

#endif
