/* SPDX-License-Identifier: MIT
 *
 * lease.pml - the lease protocol of src/lease, for spin
 *
 * Processes note themselves in the table, lease, assign, give back and sweep, step by step, and may be
 * killed before every step; the place in the table of a dead one is taken by the next. Where the ring
 * stands in the program, any slot may be tried here: the order is a hint. A step is one access to the
 * shared file or one question to the kernel; a compare-and-swap is one step.
 *
 *	held[s]	who believes that it holds slot s: set with its compare-and-swap, cleared before it
 *		gives back
 *
 * Never may two living processes believe that they hold one slot, or a word change under a living one
 * that holds it. When all have ended or were killed, one sweep finds every slot free.
 *
 * FAULT_GENERATION: the sweep forgets the generation of what it judged. FAULT_ENTRY: an entry that is
 * taken keeps its generation. FAULT_CLAIM: an entry is ended without asking whether its process
 * lives. FAULT_LOST: the sweep looks at holders and never at slots. spin must find each.
 */

#ifndef PROCESSES
#define PROCESSES 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#define ENTRIES 2
#define NOBODY  7

#define FREE    0
#define LEASED  1
#define CLAIMED 1
#define READY   2

typedef slot_word {
	byte state, holder, holder_gen, gen
};
typedef entry_word {
	byte state, gen, owner, lock
};

slot_word slot[SLOTS];
entry_word entry[ENTRIES];
byte held[SLOTS];
bool alive[PROCESSES * LIVES + 1];
byte ended;

/* kill -9: the kernel drops the locks with the process. */
inline killed()
{
	d_step {
		alive[me] = false;
		for (i : 0 .. ENTRIES - 1) {
			if
			:: entry[i].lock == me -> entry[i].lock = 0
			:: else
			fi
		}
		i = 0; e = 0; s = 0; mine = 0; my_gen = 0; owner = 0;
		noted = false; won = false; over = false;
		v.state = 0; v.gen = 0;
		w.state = 0; w.holder = 0; w.holder_gen = 0; w.gen = 0
	}
}

/* Before each write; before a read it would be the same as after. */
#define MORTAL if :: true -> skip :: true -> goto died fi

/* The word of slot s, as it was read. */
inline read_slot()
{
	d_step {
		w.state = slot[s].state;
		w.holder = slot[s].holder;
		w.holder_gen = slot[s].holder_gen;
		w.gen = slot[s].gen
	}
}

#ifdef FAULT_GENERATION
#define SAME_GEN true
#else
#define SAME_GEN (slot[s].holder == w.holder && slot[s].holder_gen == w.holder_gen && slot[s].gen == w.gen)
#endif

/* What holder_me() does: read, lock, compare-and-swap to CLAIMED, write, READY. */
inline note_myself()
{
	noted = false;
	do
	:: noted -> break
	:: !noted ->
		if
		:: e = 0
		:: e = 1
		fi;
		d_step { v.state = entry[e].state; v.gen = entry[e].gen };
		if
		:: v.state == READY ->
			retire()
		:: else ->
			MORTAL;
			atomic {
				if
				:: entry[e].lock == 0 -> entry[e].lock = me; won = true
				:: else -> won = false
				fi
			};
			MORTAL;
			if
			:: won ->
				d_step {
					if
					:: entry[e].state == v.state && entry[e].gen == v.gen ->
						entry[e].state = CLAIMED;
#ifndef FAULT_ENTRY
						entry[e].gen = v.gen + 1;
#endif
						my_gen = entry[e].gen
					:: else -> won = false; entry[e].lock = 0
					fi
				};
				MORTAL;
				if
				:: won ->
					entry[e].owner = me;
					MORTAL;
					entry[e].state = READY;
					mine = e;
					noted = true
				:: else
				fi
			:: else
			fi
		fi
	od
}

/* What holder_retire_dead() does with entry e, whose word was read to v. */
inline retire()
{
	owner = entry[e].owner;
	if
	:: entry[e].state == v.state && entry[e].gen == v.gen ->
		if
#ifdef FAULT_CLAIM
		:: true ->
#else
		:: !alive[owner] ->
#endif
			MORTAL;
			d_step {
				if
				:: entry[e].state == READY && entry[e].gen == v.gen ->
					entry[e].state = FREE
				:: else
				fi
			}
		:: else
		fi
	:: else
	fi
}

/* What sweep_slot() does. NOBODY's time may be over at any moment. */
inline sweep()
{
	read_slot();
	if
	:: w.state == LEASED ->
		d_step {
			over = w.holder == NOBODY;
			if
			:: !over -> over = !(entry[w.holder].state == READY && entry[w.holder].gen == w.holder_gen)
			:: else
			fi
		};
		if
		:: over ->
			MORTAL;
			d_step {
				if
				:: slot[s].state == LEASED && SAME_GEN ->
					assert(held[s] == 0 || !alive[held[s]]);
					slot[s].state = FREE;
					slot[s].holder = 0;
					slot[s].holder_gen = 0;
					slot[s].gen++
				:: else
				fi
			}
		:: else
		fi
	:: else
	fi
}

inline lease()
{
	won = false;
	read_slot();
	MORTAL;
	if
	:: w.state == FREE ->
		d_step {
			if
			:: slot[s].state == FREE && slot[s].gen == w.gen ->
				assert(held[s] == 0 || !alive[held[s]]);
				slot[s].state = LEASED;
				slot[s].holder = mine;
				slot[s].holder_gen = my_gen;
				slot[s].gen++;
				held[s] = me;
				won = true
			:: else
			fi
		}
	:: else
	fi
}

/* The word must be as we left it; then it is given back, or to nobody for a time. */
inline give_back()
{
	MORTAL;
	d_step {
		assert(slot[s].state == LEASED && slot[s].holder == mine && slot[s].holder_gen == my_gen);
		held[s] = 0
	};
	MORTAL;
	if
	:: d_step { slot[s].state = FREE; slot[s].holder = 0; slot[s].holder_gen = 0; slot[s].gen++ }
	:: d_step { slot[s].holder = NOBODY; slot[s].holder_gen = 0; slot[s].gen++ }
	fi
}

proctype process(byte number)
{
	slot_word w;
	entry_word v;
	byte life, me, e, s, mine, my_gen, owner, i;
	bool noted, won, over;

	for (life : 0 .. LIVES - 1) {
		me = number * LIVES + life + 1;
		alive[me] = true;
		note_myself();
		if
		:: s = 0
		:: s = SLOTS - 1
		fi;
		lease();
		if
		:: won -> give_back()
		:: else
		fi;
		if
		:: s = 0
		:: s = SLOTS - 1
		fi;
		sweep();
died:
		killed()
	}
	ended++
}

/* The next one that comes: holders, then slots, and nothing is lost. */
proctype last()
{
	slot_word w;
	entry_word v;
	byte me, e, s, owner, i;
	bool over;

	ended == PROCESSES;
	alive[0] = true;
	for (e : 0 .. ENTRIES - 1) {
		if
		:: entry[e].state == READY && !alive[entry[e].owner] -> entry[e].state = FREE
		:: else
		fi
	}
	for (s : 0 .. SLOTS - 1) {
#ifndef FAULT_LOST
		if
		:: slot[s].state == LEASED ->
			over = slot[s].holder == NOBODY;
			if
			:: !over -> over = !(entry[slot[s].holder].state == READY &&
					     entry[slot[s].holder].gen == slot[s].holder_gen)
			:: else
			fi;
			if
			:: over -> slot[s].state = FREE
			:: else
			fi
		:: else
		fi;
#endif
		assert(slot[s].state == FREE)
	}
}

init
{
	atomic {
		byte n;

		alive[0] = false;
		for (n : 0 .. PROCESSES - 1) {
			run process(n)
		}
		run last()
	}
}
