/* SPDX-License-Identifier: MIT
 *
 * sandbox_library.h - what a chunk in the sandbox may call
 *
 * Lua's own functions where they are bounded and tell nothing of addresses; else replacements,
 * whose work is charged.
 */
#ifndef TCPWHY_CASE_SANDBOX_LIBRARY_H
#define TCPWHY_CASE_SANDBOX_LIBRARY_H

#include <lua.h>

/* Sets the globals. To be called in protected mode: it may run out of memory. */
void sandbox_library_open(lua_State *l);
/* Pushes the value at index i as text; like luaL_tolstring(), but never an address. */
const char *sandbox_tostring(lua_State *l, int i, size_t *len);

#endif
