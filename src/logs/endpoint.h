/* SPDX-License-Identifier: MIT
 *
 * endpoint.h - addresses and ports, in the many ways that applications print them
 *
 * "[::]:80", ":::3000", ":8080", "*:6379", "/0.0.0.0:8080", "localhost/127.0.0.1:80",
 * "/0:0:0:0:0:0:0:0%0:8080", "http://db.example:5432". base/address.h reads what a user types; this
 * reads what others wrote.
 */
#ifndef TCPWHY_LOGS_ENDPOINT_H
#define TCPWHY_LOGS_ENDPOINT_H

#include "logs/hit.h"

/* Each fills what the text has into *hit and leaves the rest: an address that is "every address" in
 * a language (*, null, any) stays unknown. False if the text is no such thing. */
bool endpoint_take(const char *text, size_t length, struct log_hit *hit);
bool endpoint_take_host(const char *text, size_t length, struct log_hit *hit);
bool endpoint_take_port(const char *text, size_t length, struct log_hit *hit);

#endif
