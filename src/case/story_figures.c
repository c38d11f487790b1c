/* SPDX-License-Identifier: MIT
 *
 * Figures: a table that a case makes row by row, shown with its verdict
 */
#include "case/sandbox_library.h"
#include "case/story_state.h"

#include <stdio.h>
#include <string.h>

/* 51040 as "51,040". */
static void grouped(long long n, char *out, size_t size)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu",
				      n < 0 ? -(unsigned long long)n : (unsigned long long)n);
	size_t at = 0;

	if (n < 0)
		out[at++] = '-';
	for (size_t i = 0; i < len && at + 2 < size; i++) {
		if (i && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
}

/* A count in full, a measure with three digits, a text as it is. */
static void cell_text(lua_State *l, int index, char *out, size_t size)
{
	if (lua_isinteger(l, index)) {
		grouped(lua_tointeger(l, index), out, size);
		return;
	}
	if (lua_type(l, index) != LUA_TNUMBER) {
		snprintf(out, size, "%s", luaL_checkstring(l, index));
		return;
	}
	double n = lua_tonumber(l, index);
	if (n > -1e15 && n < 1e15 && (n <= -1000 || n >= 1000))
		grouped((long long)(n < 0 ? n - 0.5 : n + 0.5), out, size);
	else
		snprintf(out, size, "%.3g", n);
}

/* figures(cell, cell, ...): the first row names the columns. */
static int word_figures(lua_State *l)
{
	int n = lua_gettop(l);

	if (!story_of(l)->has_head)
		return luaL_error(l, "case{...} comes first");
	luaL_argcheck(l, n >= 1 && n <= PLAY_CELLS, 1, "a row of 1 to 8 cells");
	struct play_figure *f = play_add_figure(story_of(l)->play);
	if (!f)
		return luaL_error(l, "more than %d rows", PLAY_LIST_MAX);
	for (int i = 0; i < n; i++)
		cell_text(l, i + 1, f->cell[i], sizeof(f->cell[i]));
	return 0;
}

void story_open_figures(lua_State *l)
{
	lua_register(l, "figures", word_figures);
}
