/* SPDX-License-Identifier: MIT
 *
 * Who looks at the ends of tapped links: hosts by sock_diag and their counters
 *
 * The looks are made where a relay moves a segment. What the stage itself is asked to do waits for
 * them (kernel_settle()): then no state is of a later moment than it says, but where a real program
 * acts on its own.
 */
#include "case/kernel_state.h"

#include "case/witness.h"

static void sent(void *ctx, const struct frame *f, struct capture_sight *out)
{
	const struct kernel_watch *w = ctx;

	witness_sent(w->witness, w->device, f, out);
}

static void before(void *ctx)
{
	const struct kernel_watch *w = ctx;

	witness_before(w->witness);
}

static void arrived(void *ctx, const struct frame *f, struct capture_sight *out)
{
	const struct kernel_watch *w = ctx;

	witness_arrived(w->witness, w->device, f, out);
}

static int watch_end(struct kernel_stage *k, size_t link, int side, struct err *err)
{
	struct kernel_link *l = &k->links[link];
	struct kernel_node *node = &k->nodes[l->ends[side].node];
	struct kernel_watch *watch = &l->watches[side];

	if (node->is_box)
		return 0;
	if (!node->witness) {
		const int rc = witness_open(stage_kernel_netns(k->scene, l->ends[side].node),
					    &node->witness, err);
		if (rc)
			return rc;
	}
	*watch = (struct kernel_watch){node->witness,
				       stage_kernel_device(k->scene, (int)link, side)};
	const struct relay_witness w = {watch, k->config.looks, sent, before, arrived};
	relay_set_witness(stage_kernel_relay(k->scene, (int)link), (enum relay_side)side, &w);
	return 0;
}

int kernel_witness_begin(struct kernel_stage *k, struct err *err)
{
	for (size_t link = 0; k->config.looks && link < k->n_links; link++)
		for (int side = 0; k->links[link].tapped && side < 2; side++) {
			const int rc = watch_end(k, link, side, err);
			if (rc)
				return rc;
		}
	return 0;
}

void kernel_witness_end(struct kernel_stage *k)
{
	for (size_t i = 0; i < k->n_nodes; i++)
		witness_close(k->nodes[i].witness);
}

void kernel_settle(struct kernel_stage *k)
{
	/* beyond the looks there is nothing to wait for */
	if (capture_count(k->capture) >= k->config.looks)
		return;
	for (size_t link = 0; link < k->n_links; link++)
		if (k->links[link].tapped)
			relay_settle(stage_kernel_relay(k->scene, (int)link));
}
