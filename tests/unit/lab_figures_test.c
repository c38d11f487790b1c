/* SPDX-License-Identifier: MIT
 *
 * Tables of plays: how a cell is written, columns, and plays that made the same table
 */
#include "unit.h"

#include <string.h>

#include "case/stage_world.h"
#include "case/story.h"
#include "report/lab_figures.h"

static void play_on(const char *release, const char *text, struct play *out)
{
	const struct tcpwhy_row *row = tcpwhy_row_find(release);
	const struct stage_world_config world = {.row = row, .seed = 1};
	const struct story_config config = {.name = "t", .text = text, .text_n = strlen(text)};
	struct stage *stage;
	struct err err;

	assert_int_equal(stage_world_new(&world, &stage, &err), 0);
	story_play(&config, stage, row, out);
	stage->ops->free(stage);
}

static void test_shown(void **state)
{
	static const char text[] =
		"case{about = 'x'} figures('n', 'what', 'share')\n"
		"figures(51040, 'a crowd', 0.12345)\n"
		"figures(-7, has 'syn-drop-full' and 'later' or 'before', 1234.5)";
	static const char *const releases[] = {"3.10", "6.18.y", "4.9.0"};
	struct play plays[3];
	struct lab_case c = {.plays_n = 3};
	char *out = NULL;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		play_on(releases[i], text, &plays[i]);
		assert_int_equal(plays[i].end, PLAY_DONE);
		c.plays[i] = &plays[i];
	}
	FILE *f = open_memstream(&out, &n);
	lab_figures_print(&c, 2, f);
	fclose(f);
	assert_string_equal(out, "         n  what     share\n"
				 "  3.10, 4.9.0\n"
				 "    51,040  a crowd  0.123\n"
				 "        -7  before   1,235\n"
				 "  6.18.y\n"
				 "    51,040  a crowd  0.123\n"
				 "        -7  later    1,235\n");
	free(out);
	for (unsigned i = 0; i < 3; i++)
		play_free(&plays[i]);
}

static char *shown(const char *text)
{
	struct play p;
	struct lab_case c = {.plays = {&p}, .plays_n = 1};
	char *out = NULL;
	size_t n;

	play_on("6.18.y", text, &p);
	assert_int_equal(p.end, PLAY_DONE);
	FILE *f = open_memstream(&out, &n);
	lab_figures_print(&c, 8, f);
	fclose(f);
	play_free(&p);
	return out;
}

/* Headings are folded before columns are; a table of 80 columns is left as it is. */
static void test_narrow(void **state)
{
	(void)state;
	char *out = shown("case{about = 'x'} figures('connections', 'backlog', 'within, s', "
			  "'ghosts', 'left at the end', 'stuck nodes', 'slow')\n"
			  "figures(102080, 4096, 0.1, 17955, 4371, 189, 2851)");
	assert_string_equal(
		out, "          connections  backlog  within,  ghosts   left  stuck   slow\n"
		     "                                      s             at  nodes\n"
		     "                                                   the\n"
		     "                                                   end\n"
		     "        6.18.y\n"
		     "              102,080    4,096      0.1  17,955  4,371    189  2,851\n");
	free(out);
	out = shown("case{about = 'x'} local w = string.rep('w', 25) figures(w, w, w, 'n')\n"
		    "figures('a', 'b', 'c', 1) figures(w, ' \\t', '', 2)");
	assert_string_equal(out, "          wwwwwwwwwwwwwwwwwwwwwwwww  wwwwwwwwwwwwwwwwwwwwwwwww\n"
				 "              wwwwwwwwwwwwwwwwwwwwwwwww  n\n"
				 "        6.18.y\n"
				 "          a                          b\n"
				 "              c                          1\n"
				 "          wwwwwwwwwwwwwwwwwwwwwwwww   ?\n"
				 "                                         2\n");
	free(out);
	free(shown("case{about = 'x'} local w = string.rep('w', 25) figures(' ' .. w, w .. '\\t' "
		   ".. w, w)"));
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"figures('n')",
		"case{about = 'x'} figures()",
		"case{about = 'x'} figures(1, 2, 3, 4, 5, 6, 7, 8, 9)",
		"case{about = 'x'} figures({})",
		"case{about = 'x'} for i = 1, 5000 do figures(i) end",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct play p;
		play_on("6.18.y", texts[i], &p);
		assert_int_equal(p.end, PLAY_WRONG);
		play_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_refused),
	};

	return unit_run("lab_figures", tests);
}
