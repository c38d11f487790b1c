/* SPDX-License-Identifier: MIT */
#include "case/play.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lists of a record, so that each is treated alike. */
#define LISTS(X) X(expects) X(calls) X(segments) X(counters) X(nodes) X(links) X(figures)

void play_free(struct play *p)
{
#define FREE(list)                                                                                 \
	free(p->list);                                                                             \
	p->list = NULL;                                                                            \
	p->list##_n = 0;
	LISTS(FREE)
#undef FREE
}

/* Grows by doubling; a list of n entries has room for the next power of two, at least 16. */
static void *grow(void *list, uint32_t n, size_t size)
{
	if (n >= PLAY_LIST_MAX)
		return NULL;
	if (n && (n < 16 || (n & (n - 1))))
		return list;
	return realloc(list, (n ? 2 * (size_t)n : 16) * size);
}

#define ADD(list, type)                                                                            \
	struct type *play_add_##list(struct play *p)                                               \
	{                                                                                          \
		void *grown = grow(p->list##s, p->list##s_n, sizeof(*p->list##s));                 \
		if (!grown)                                                                        \
			return NULL;                                                               \
		p->list##s = grown;                                                                \
		struct type *new = &p->list##s[p->list##s_n++];                                    \
		memset(new, 0, sizeof(*new));                                                      \
		return new;                                                                        \
	}
ADD(expect, play_expect)
ADD(call, play_call)
ADD(segment, play_segment)
ADD(counter, play_counter)
ADD(node, play_node)
ADD(link, play_link)
ADD(figure, play_figure)

static int write_all(int fd, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n) {
		ssize_t done = write(fd, at, n);
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int read_all(int fd, void *bytes, size_t n)
{
	char *at = bytes;

	while (n) {
		ssize_t done = read(fd, at, n);
		if (!done)
			return -EBADMSG;
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

int play_write(const struct play *p, int fd)
{
	int r = write_all(fd, p, sizeof(*p));

#define WRITE(list)                                                                                \
	if (!r)                                                                                    \
		r = write_all(fd, p->list, p->list##_n * sizeof(*p->list));
	LISTS(WRITE)
#undef WRITE
	return r;
}

/* The writer is a child of ours and runs the same code; but it may have been hurt by its case. */
static int read_list(int fd, void **list, uint32_t *n, size_t size)
{
	const uint32_t wanted = *n;

	*list = NULL;
	*n = 0;
	if (wanted > PLAY_LIST_MAX)
		return -EBADMSG;
	if (!wanted)
		return 0;
	*list = malloc(wanted * size);
	if (!*list)
		return -ENOMEM;
	int r = read_all(fd, *list, wanted * size);
	if (!r)
		*n = wanted;
	return r;
}

int play_read(struct play *p, int fd)
{
	int r = read_all(fd, p, sizeof(*p));

	if (r) {
		memset(p, 0, sizeof(*p));
		return r;
	}
	uint32_t n[7] = {0};
	unsigned i = 0;
	/* Pointers of another process: none may stay. */
#define FORGET(list)                                                                               \
	n[i++] = p->list##_n;                                                                      \
	p->list = NULL;                                                                            \
	p->list##_n = 0;
	LISTS(FORGET)
#undef FORGET
	i = 0;
#define READ(list)                                                                                 \
	if (!r) {                                                                                  \
		void *got;                                                                         \
		r = read_list(fd, &got, &n[i], sizeof(*p->list));                                  \
		p->list = got;                                                                     \
		p->list##_n = n[i++];                                                              \
	}
	LISTS(READ)
#undef READ
	if (r)
		play_free(p);
	return r;
}

bool play_went(const struct play *p)
{
	return p->end == PLAY_DONE || p->end == PLAY_SLOW ||
	       (p->end == PLAY_CANNOT && p->expects_n);
}

unsigned play_held(const struct play *p)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < p->expects_n; i++)
		n += p->expects[i].holds;
	return n;
}

unsigned play_skipped(const struct play *p)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < p->expects_n; i++)
		n += p->expects[i].skipped;
	return n;
}
