/* SPDX-License-Identifier: MIT
 *
 * case_fuzz.c - any text as a case: it ends, within its bounds, and the same way each time
 */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "case/sandbox.h"
#include "case/stage_world.h"
#include "case/story.h"

static const struct sandbox_limits tight = {.instructions = 200000, .bytes = 4u << 20};

static void play_once(const char *text, size_t size, struct play *out)
{
	const struct tcpwhy_row *row = tcpwhy_row_find("6.18.y");
	const struct stage_world_config world = {
		.row = row, .seed = 1, .memory_limit = (size_t)32 << 20};
	const struct story_config config = {.name = "f",
					    .text = text,
					    .text_n = size,
					    .limits = &tight,
					    .seed = 1,
					    .observe = true};
	struct stage *stage;
	struct err err;

	promise(!stage_world_new(&world, &stage, &err));
	story_play(&config, stage, row, out);
	stage->ops->free(stage);
}

/* A text is terminated, and has no byte that would move a terminal. */
static bool is_sound(const char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	for (const char *c = text; end && c < end; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return end != NULL;
}

static void check(const struct play *p)
{
	promise(p->end <= PLAY_FAILED);
	/* The only outside that a model has is memory. */
	promise(p->end != PLAY_FAILED || p->why[0]);
	promise(is_sound(p->why, sizeof(p->why)));
	promise(p->end != PLAY_WRONG || !strncmp(p->why, "f.lua", 5));
	for (uint32_t i = 0; i < p->calls_n; i++)
		promise(p->calls[i].node < (int)p->nodes_n);
	for (uint32_t i = 0; i < p->segments_n; i++)
		promise(p->segments[i].record.link < (int)p->links_n);
}

/* By field: what lies between them is nobody's. */
static bool is_same(const struct play_segment *a, const struct play_segment *b)
{
	const struct segment *x = &a->record.segment, *y = &b->record.segment;

	return a->record.sent_ns == b->record.sent_ns &&
	       a->record.arrived_ns == b->record.arrived_ns && a->state[0] == b->state[0] &&
	       a->state[1] == b->state[1] && x->seq == y->seq && x->ack == y->ack &&
	       x->flags == y->flags && x->length == y->length && x->window == y->window &&
	       x->tsval == y->tsval && x->tsecr == y->tsecr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* exact, so that the sanitizer sees a read beyond it */
	struct play p, q;

	promise(text);
	memcpy(text, data, size);
	play_once(text, size, &p);
	check(&p);
	play_once(text, size, &q);
	promise(p.end == q.end && !strcmp(p.why, q.why));
	promise(p.calls_total == q.calls_total && p.segments_total == q.segments_total);
	promise(p.calls_n == q.calls_n && p.segments_n == q.segments_n);
	if (p.calls_n)
		promise(!memcmp(p.calls, q.calls, p.calls_n * sizeof(*p.calls)));
	for (uint32_t i = 0; i < p.segments_n; i++)
		promise(is_same(&p.segments[i], &q.segments[i]));
	play_free(&p);
	play_free(&q);
	free(text);
	return 0;
}
