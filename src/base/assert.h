/* SPDX-License-Identifier: MIT
 *
 * assert.h - must(): our own bugs stop the program, in release builds too
 *
 * Never for input. A trap, because the pure folders may not call abort().
 */
#ifndef TCPWHY_BASE_ASSERT_H
#define TCPWHY_BASE_ASSERT_H

#define must(condition) ((condition) ? (void)0 : __builtin_trap())

#endif
