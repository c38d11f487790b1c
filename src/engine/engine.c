/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "engine/state.h"

struct tcpwhy_engine *tcpwhy_engine_new(const struct tcpwhy_row *row,
					const struct tcpwhy_memory *memory)
{
	struct tcpwhy_engine *e;

	if (memory->limit && memory->limit < sizeof(*e))
		return NULL;
	e = memory->resize(memory->ctx, NULL, 0, sizeof(*e));
	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->memory = (struct memory){.from = *memory, .bytes = sizeof(*e)};
	e->row = row;
	e->sysctls = row->defaults;
	e->socks.free = e->buckets.free = e->buckets2.free = e->sets_free = NIL;
	e->fifo_first = e->fifo_last = e->fifo_unripe = NIL;
	e->next_end_ns = UINT64_MAX;
	e->ripe_delay_ms = e->sysctls.tw_reuse_delay_ms;
	e->last2 = NIL;
	return e;
}

void tcpwhy_engine_free(struct tcpwhy_engine *e)
{
	if (!e)
		return;
	memory_drop(&e->memory, &e->reserved, e->reserved ? 1 : 0, sizeof(*e->reserved));
	for (uint32_t n = 0; n < e->socks.chunks_size; n++)
		memory_drop(&e->memory, &e->socks.chunk[n], e->socks.chunk[n] ? SOCK_CHUNK : 0,
			    sizeof(struct sock));
	memory_drop(&e->memory, &e->socks.chunk, e->socks.chunks_size, sizeof(struct sock *));
	for (uint32_t i = 0; i < e->blocked_used; i++)
		memory_drop(&e->memory, &e->blocked[i].bits, 1, sizeof(struct portbits));
	memory_drop(&e->memory, &e->blocked, e->blocked_size, sizeof(struct blocked));
	portset_free_all(e);
	memory_drop(&e->memory, &e->buckets.block, e->buckets.size, sizeof(struct bucket));
	memory_drop(&e->memory, &e->buckets2.block, e->buckets2.size, sizeof(struct bucket2));
	memory_drop(&e->memory, &e->by_tuple.head, e->by_tuple.size, sizeof(uint32_t));
	memory_drop(&e->memory, &e->by_port.head, e->by_port.size, sizeof(uint32_t));
	memory_drop(&e->memory, &e->by_seen.head, e->by_seen.size, sizeof(uint32_t));
	memory_drop(&e->memory, &e->heap, e->heap_size, sizeof(uint32_t));
	memory_drop(&e->memory, &e->seen_next, e->seen_next_size, sizeof(uint32_t));
	memory_drop(&e->memory, &e->seen, e->seen_size, sizeof(struct tcpwhy_addr));
	memory_drop(&e->memory, &e->locals, e->locals_size, sizeof(struct local));
	memory_drop(&e->memory, &e->devices, e->devices_size, sizeof(struct device));
	struct tcpwhy_memory memory = e->memory.from;
	memory.resize(memory.ctx, e, sizeof(*e), 0);
}

size_t tcpwhy_engine_bytes(const struct tcpwhy_engine *e)
{
	return e->memory.bytes;
}

const struct tcpwhy_sysctls *tcpwhy_sysctls(const struct tcpwhy_engine *e)
{
	return &e->sysctls;
}

int tcpwhy_set_sysctls(struct tcpwhy_engine *e, const struct tcpwhy_sysctls *s)
{
	if (!s->port_low || s->port_low > s->port_high)
		return -EINVAL;
	e->sysctls = *s;
	return 0;
}

int tcpwhy_reserve_port(struct tcpwhy_engine *e, uint16_t port, bool reserved)
{
	if (!e->reserved)
		e->reserved = memory_new(&e->memory, sizeof(*e->reserved));
	if (!e->reserved)
		return -ENOMEM;
	portbits_put(e->reserved, port, reserved);
	return 0;
}

bool port_is_reserved(const struct tcpwhy_engine *e, uint16_t port)
{
	return e->reserved && portbits_has(e->reserved, port);
}

int tcpwhy_add_local(struct tcpwhy_engine *e, const struct tcpwhy_addr *prefix, unsigned prefix_len,
		     enum tcpwhy_local kind, uint32_t device, uint32_t l3mdev)
{
	if (prefix_len > 128)
		return -EINVAL;
	if (!memory_grow(&e->memory, &e->locals, &e->locals_size, e->locals_used + 1,
			 sizeof(*e->locals)))
		return -ENOMEM;
	e->locals[e->locals_used++] = (struct local){.prefix = *prefix,
						     .prefix_len = (uint8_t)prefix_len,
						     .kind = (uint8_t)kind,
						     .device = device,
						     .l3mdev = l3mdev};
	e->locals_known = true;
	return 0;
}

void tcpwhy_locals_known(struct tcpwhy_engine *e)
{
	e->locals_known = true;
}

int tcpwhy_add_device(struct tcpwhy_engine *e, uint32_t device, uint32_t l3mdev)
{
	if (!memory_grow(&e->memory, &e->devices, &e->devices_size, e->devices_used + 1,
			 sizeof(*e->devices)))
		return -ENOMEM;
	e->devices[e->devices_used++] = (struct device){.index = device, .l3mdev = l3mdev};
	e->devices_known = true;
	return 0;
}

uint32_t device_l3mdev(const struct tcpwhy_engine *e, uint32_t device)
{
	if (!device || e->sysctls.l3mdev_accept)
		return 0;
	for (uint32_t i = 0; i < e->devices_used; i++)
		if (e->devices[i].index == device)
			return e->devices[i].l3mdev;
	return 0;
}

uint64_t tcpwhy_now(const struct tcpwhy_engine *e)
{
	return e->now_ns;
}

void tcpwhy_import_blind(struct tcpwhy_engine *e, bool bound_unseen)
{
	e->bound_unseen = bound_unseen;
}

void tcpwhy_import_programs(struct tcpwhy_engine *e, bool ipv4, bool ipv6)
{
	e->programs4 = ipv4;
	e->programs6 = ipv6;
}
