/* SPDX-License-Identifier: MIT
 *
 * layout.h - the pool's file: what lies where, and the two words that decide
 *
 * A header that never changes after the file got its name, then what all write: the order, the
 * holders, the slots (one a port), the ring. Everything is a number or an index, no pointer: the
 * file is input, whoever wrote it, and each word is checked where it is used.
 *
 * The state of a port is its slot's word, and changes by compare-and-swap of the whole word: there
 * is no moment between two states in which a process could be killed. All else is written by whom
 * the word names (stamp, expires), or is a hint that is checked when used (ticket, ring, head,
 * tail).
 */
#ifndef TCPWHY_LEASE_LAYOUT_H
#define TCPWHY_LEASE_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LAYOUT_MAGIC     "tcpwhyPL"
#define LAYOUT_VERSION   1
#define LAYOUT_HOLDERS   4096
#define LAYOUT_SLOTS_MAX 32768

struct layout_header {
	char magic[8];
	uint32_t version;
	uint32_t low, slots; /* first port; how many */
	uint32_t ring;       /* places, a power of two, at least twice the slots */
	uint32_t holders;
	uint32_t pad;
	uint64_t bytes; /* of the file */
	uint64_t netns_cookie, netns_inode;
	uint8_t boot_id[16];
	uint64_t sum; /* of all before */
};

static_assert(sizeof(struct layout_header) == 80, "the header has no holes");

/* On lines of their own: head is the lessees', tail the releasers', the rest is rarely written. */
struct layout_shared {
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint64_t tail;
	_Alignas(64) _Atomic uint32_t retired; /* another file took this one's name */
	_Atomic uint32_t holders_used;         /* no holder at or above was ever noted */
	_Alignas(64) _Atomic uint64_t next_sweep_ns;
	_Atomic uint32_t holder_cursor, slot_cursor;
	_Atomic uint64_t recovered;
};

/* A process that has leases. Written by the one that has the kernel's lock of its byte and whose
 * CLAIMED is in the word. */
struct layout_holder {
	_Atomic uint64_t word;
	_Atomic uint64_t seal;   /* over what follows and the word's generation */
	_Atomic uint64_t start;  /* field 22 of /proc/PID/stat; 0 unknown */
	_Atomic uint64_t ns_key; /* PID and time namespace, in which pid and start mean something */
	_Atomic uint32_t flags;  /* of enum holder_flag */
	_Atomic uint32_t uid;
	uint64_t pad[3];
};

struct layout_slot {
	_Atomic uint64_t word;
	_Atomic uint64_t stamp_ns;   /* CLOCK_BOOTTIME of the last lease or release */
	_Atomic uint64_t expires_ns; /* read only if the word says SLOT_TIMED */
	_Atomic uint64_t ticket;     /* its place in the ring, if it is there */
};

static_assert(sizeof(struct layout_holder) == 64 && sizeof(struct layout_slot) == 32, "");

#define LAYOUT_SHARED_AT  256
#define LAYOUT_HOLDERS_AT 4096
#define LAYOUT_SLOTS_AT   (LAYOUT_HOLDERS_AT + LAYOUT_HOLDERS * sizeof(struct layout_holder))

static_assert(LAYOUT_SHARED_AT + sizeof(struct layout_shared) <= LAYOUT_HOLDERS_AT, "");

/* The places of a mapped file. Copied from a header that was checked, never read from it again. */
struct layout {
	uint16_t low;
	uint32_t slots_n, ring_n;
	size_t bytes;
	struct layout_shared *shared;
	struct layout_holder *holders; /* LAYOUT_HOLDERS */
	struct layout_slot *slots;
	_Atomic uint64_t *ring;
};

/* The header of a new file for these ports. */
void layout_make(struct layout_header *h, uint16_t low, uint16_t high);
/* Sets the sum; after all else. */
void layout_seal(struct layout_header *h);

enum layout_fault {
	LAYOUT_GOOD,
	LAYOUT_NEWER,     /* of a release that we do not know */
	LAYOUT_TRUNCATED, /* shorter than it says, or than a header */
	LAYOUT_DAMAGED,
};
/* Judges a header of which n bytes could be read, of a file of that size. */
enum layout_fault layout_judge(const struct layout_header *h, size_t n, uint64_t file_bytes);
/* The places in a mapping of a file whose header is good. */
void layout_place(const struct layout_header *h, void *base, struct layout *out);

/* -------------------------------------------------------------------------------- a slot's word
 *
 * FREE    -> LEASED by whom wants it, naming itself. Nothing may be written to it before.
 * LEASED  -> FREE by whom it names; or by anybody once that holder is gone or its time is over.
 * LEASED  -> LEASED by whom it names: TIMED or HELD added, or another named instead.
 * damaged -> LEASED by anybody, then for a time (sweep.c): never FREE at once.
 *
 * Each change but an added flag raises the generation, so a word that was seen once is not met
 * again. Bits: 0 check, 8 state, 10 TIMED, 11 HELD, 12 holder, 25 the holder's generation, 37 its
 * own. */

enum slot_state { SLOT_FREE = 1, SLOT_LEASED = 2 };

#define SLOT_TIMED  (UINT64_C(1) << 10)
#define SLOT_HELD   (UINT64_C(1) << 11)
#define HOLDER_NONE 0x1fffu /* nobody: the clock alone ends it */
/* The holder's generation where there is none: the entry was damaged, and whose it was is lost. */
#define WITHHELD_GEN 1u

struct slot_word {
	enum slot_state state;
	bool timed, held;
	uint32_t holder, holder_gen;
	uint32_t gen; /* 27 bits */
};

/* By the port, not the index: a word moves with its port into a file of another range. */
uint64_t slot_pack(uint32_t port, const struct slot_word *w);
bool slot_is_withheld(const struct slot_word *w);
/* False: it is damaged, or of another port. */
bool slot_unpack(uint32_t port, uint64_t word, struct slot_word *w);

/* ------------------------------------------------------------------------------ a holder's word
 *
 * FREE -> CLAIMED -> READY by the one that has the byte's lock; CLAIMED without the lock was left
 * by one that died. READY -> FREE by itself, or by anybody once it is gone. CLAIMED has the next
 * generation: words of slots that name an older one name nobody. */

enum holder_state { HOLDER_FREE = 0, HOLDER_CLAIMED = 1, HOLDER_READY = 2 };

struct holder_word {
	enum holder_state state;
	uint32_t gen; /* 12 bits */
	uint32_t pid;
};

uint64_t holder_pack(uint32_t index, const struct holder_word *w);
/* All zero is FREE, as in a new file. False: damaged; gen and pid are then what the bits say. */
bool holder_unpack(uint32_t index, uint64_t word, struct holder_word *w);

uint64_t layout_mix(uint64_t a, uint64_t b);

#endif
