/* SPDX-License-Identifier: MIT
 *
 * error.h - why the outside failed, in one sentence
 *
 * A function that can fail because of the outside (a file, a kernel, a namespace) returns -errno
 * and writes the text once, in the layer that knows the name of the thing. Results of the domain
 * (port in use) are not errors; our own bugs are asserts.
 */
#ifndef TCPWHY_BASE_ERROR_H
#define TCPWHY_BASE_ERROR_H

struct err {
	char text[256];
};

#endif
