/* SPDX-License-Identifier: MIT
 *
 * fuzz.h - what every fuzzer has: libFuzzer's entry, and a check that stops it
 */
#ifndef TCPWHY_FUZZ_H
#define TCPWHY_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a parser promises whatever it is given. */
#define promise(condition) ((condition) ? (void)0 : abort())

#endif
