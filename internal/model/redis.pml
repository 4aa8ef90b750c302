/*
 * A model of the Redis queue: clients that register, wait, hold, write to a
 * storage and leave, on a server that executes one script at a time.
 *
 * What can happen to them: a request is sent again because its answer was lost, or
 * is late, and then both are executed; a client that has given up is overtaken by
 * its own request; a message arrives at any time after it was sent, or never; a
 * client is stopped at any step, for longer than its lease, and goes on later, or is
 * killed while it waits or holds; keys vanish, one or all of them.
 *
 * What the model keeps of the real thing: a script is one step; a lease belongs to a
 * token and names the entry that it is for; it runs out by the server's clock while
 * the client does not renew it; the client's own deadline passes before that, but a
 * stopped client does not see it until it goes on. Of the numbers it keeps the order:
 * the clock, which they are seeded from, is not behind the last number given. A script for
 * several requests is the steps of each, one after the other, which is one of the orders
 * that are looked at; each is sent again alone. What it leaves out: names, errors, kinds,
 * a mark that runs out before the late request comes, releases that are lost or late, a
 * late refresh, calls that only try, views of one line with another n.
 *
 * Checked:
 *   - a client enters only if the server has found its entry among the first OWNERS;
 *   - at most OWNERS hold that are not past their deadline, and each of them is among the
 *     first; when data have vanished, of those that the server knows: two that renew and
 *     are both in the section cannot be;
 *   - an entry that is not there any more is held only after data have vanished;
 *   - numbers ascend, tokens ascend in the order of grants, and a storage that
 *     remembers the highest token takes no write of an older owner, and refuses none of
 *     one that is not past its deadline and has its entry (OWNERS 1);
 *   - a client that has left has no ticket in line, whatever arrives late;
 *   - no client is stuck (an invalid end state), though others were killed, and with
 *     OWNERS=2 one holds for ever.
 *
 * The variants are protocols that do not work, and spin must find out:
 *   TOKEN       a message is for the token, not for one entry of it
 *   TWOSTEP     the number is taken in one step and shown in another
 *   RESET       numbers are not seeded from the clock
 *   RESURRECT   a heartbeat makes a ticket that is not there
 *   AGE         an owner may be evicted although its lease has not run out
 *   ANYLEASE    an entry counts as alive by any lease of its token
 *   NODEADLINE  an owner believes in its hold until the server says otherwise
 *   STALEGRANT  a grant is believed also after the own deadline
 *   NOMARK      a registration that was sent twice is given up without a mark
 *   HEADONLY (OWNERS=2)  the dead are removed only in front, not among all the owners
 *   NOFENCE     the storage does not check the token
 *
 * Configuration: OWNERS=1
 * Configuration: OWNERS=2
 * Small: FAULTS=1
 *
 * Order: -DREVERSE, in which the errors of the variants are met sooner
 */

#ifndef OWNERS
#define OWNERS 1
#endif
#define N       3 /* clients; init starts as many */
#define TRIES   2 /* tokens that each has at most */
#define ENTRIES 9 /* that there are at most, in all */
#ifndef FAULTS
#define FAULTS  2
#endif
#define MARK    255
#define NONE    0

/* How often something may go wrong: a client is stopped past its deadline, a request
 * is sent again, keys vanish. */
byte faults = FAULTS;

/* The server. Entries are known by their numbers, which are 1 and above. */
byte seq = 0;
byte given = 0;             /* the last number given, which the clock has passed */
bool queued[ENTRIES];
byte token[ENTRIES];
byte lease[N * TRIES];      /* by token: the entry, MARK, or NONE */

/* The network. */
bool late[N * TRIES];       /* a request is on its way */
bool message[ENTRIES];      /* sent when the entry became an owner */

/* The clients. */
byte current[N];            /* token */
byte mine[N];               /* entry, when it is known */
bool past[N];               /* the own deadline has passed */
bool holds[N];
bool dead[N];               /* it was killed */

/* What only the checks know. */
bool owned[ENTRIES];        /* the server has found it among the first */
bool left[N * TRIES];       /* the client has released or given up */
bool vanished = false;
byte granted = 0;           /* the highest token so far */
byte stored = 0;            /* the token of the last write that the storage took */

#ifdef ANYLEASE
#define ALIVE(e) (lease[token[e]] != NONE && lease[token[e]] != MARK)
#else
#define ALIVE(e) (lease[token[e]] == e)
#endif
#define VALID(e) (queued[e] && lease[token[e]] == e)

/* How many living are before an entry. */
#define B(j, e)   (j < e && queued[j] && ALIVE(j))
#define BEFORE(e) (B(1, e) + B(2, e) + B(3, e) + B(4, e) + B(5, e) + B(6, e) + B(7, e) + B(8, e))

/* How many are before it that a survey does not remove: as many, unless it leaves the dead. */
#ifdef HEADONLY
#define STAYS(j) (queued[j] && (ALIVE(j) || BEFORE(j)))
#else
#define STAYS(j) (queued[j] && ALIVE(j))
#endif
#define P(j, e)  (j < e && STAYS(j))
#define PLACE(e) (P(1, e) + P(2, e) + P(3, e) + P(4, e) + P(5, e) + P(6, e) + P(7, e) + P(8, e))
#define GOES(j)  (j < e && queued[j] && !STAYS(j))

/* survey is what every script does: it removes the dead among the owners and tells
 * those that own now and did not before. leaving and other leave in this step. */
inline survey(leaving, other) {
	living = 0;
	passed = 0;
	i = 1;
	do
	:: i <= given && living < OWNERS ->
		if
		:: !queued[i]
		:: queued[i] && (i == leaving || i == other) -> passed++
		:: queued[i] && i != leaving && i != other && !ALIVE(i) ->
#ifdef HEADONLY
			if
			:: living == 0 -> queued[i] = false
			:: else -> living++
			fi;
#else
			queued[i] = false;
#endif
			passed++
		:: else ->
			if
			:: passed >= OWNERS -> message[i] = true
			:: else
			fi;
			owned[i] = true;
			passed++;
			living++
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	passed = 0
}

/* takeNumber is the next number, as join.lua makes it. */
inline takeNumber() {
	e = seq;
	i = 1;
	do
	:: i <= given ->
		if
		:: queued[i] && i > e -> e = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
#ifndef RESET
	if
	:: given > e -> e = given
	:: else
	fi;
#endif
	e++;
	assert(e > given && e < ENTRIES);
	given = e;
	seq = e
}

inline appear(t) {
	queued[e] = true;
	token[e] = t;
	lease[t] = e;
	owns = living < OWNERS;
	if
	:: owns -> owned[e] = true
	:: else
	fi
}

/* register.lua: e is the entry, NONE if the request is refused. */
inline register(t) {
	survey(NONE, NONE);
	if
	:: lease[t] == NONE ->
		takeNumber();
		appear(t)
	:: lease[t] == MARK || lease[t] != NONE && !queued[lease[t]] ->
		e = NONE;
		owns = false
	:: else ->
		e = lease[t];
		owns = PLACE(e) < OWNERS
	fi;
	living = 0
}

/* release.lua, which also gives a registration up. */
inline release(t) {
	d_step {
		named = (lease[t] == MARK -> NONE : lease[t]);
		if
		:: e == NONE -> e = named
		:: else
		fi;
#ifdef NOMARK
		resent = false;
#endif
		other = (resent && named != e -> named : NONE);
		survey(e, other);
		queued[e] = false;
		queued[other] = false;
		if
		:: resent -> lease[t] = MARK
		:: !resent && named == e -> lease[t] = NONE
		:: else
		fi;
		if
		:: living == 0 -> seq = 0 /* the line is empty, and its keys go */
		:: else
		fi;
		message[e] = false;
		left[t] = true;
		mine[me] = NONE;
		e = NONE;
		named = 0;
		other = 0;
		living = 0;
		owns = false;
		resent = false
	}
}

/* told reports a message that opens the waiter of the entry e of the token t. */
#ifdef TOKEN
#define M(j, t)    (message[j] && token[j] == t)
#define TOLD(e, t) (M(1, t) || M(2, t) || M(3, t) || M(4, t) || M(5, t) || M(6, t) || M(7, t) || M(8, t))
#else
#define TOLD(e, t) message[e]
#endif

proctype client(byte me) {
	byte e, t, i, living, passed, named, other, tries = 0;
	bool owns, resent;
again:
	if
	:: tries == TRIES -> goto done
	:: else
	fi;
	atomic {
		t = me * TRIES + tries;
		tries++;
		current[me] = t;
		past[me] = false
	};
	do
	:: d_step {
#ifdef TWOSTEP
		takeNumber()
	   };
	   d_step {
		survey(NONE, NONE);
		appear(t);
		living = 0
#else
		register(t)
#endif
	   };
	   if
	   :: break
	   :: atomic { faults > 0 -> faults--; resent = true; e = NONE; owns = false } /* the answer is lost */
	   :: atomic { faults > 0 -> faults--; resent = true; e = NONE; owns = false }; goto gone /* and the client gives up */
	   fi
	:: atomic { faults > 0 -> faults--; resent = true; late[t] = true }
	:: atomic { faults > 0 -> faults--; resent = true; late[t] = true }; goto gone
	od;
	atomic {
		if
		:: e == NONE -> goto gone
		:: else
		fi;
		mine[me] = e;
		if
		:: owns -> owns = false; goto first
		:: else
		fi
	};

	do
	/* position.lua, when there is something to see */
	:: atomic {
		(PLACE(e) < OWNERS || !VALID(e) || past[me] || GOES(1) || GOES(2) || GOES(3) || GOES(4) || GOES(5) || GOES(6) || GOES(7)) ->
		if
		:: past[me] -> goto gone
		:: else
		fi;
		d_step {
			survey(NONE, NONE);
			living = 0;
			owns = queued[e] && ALIVE(e) && PLACE(e) < OWNERS
		};
		if
		:: owns -> owns = false; goto first
		:: else
		fi;
		if
		:: !VALID(e) -> goto gone
		:: else
		fi
	   }
	:: atomic { TOLD(e, t) -> message[e] = false; goto first }
	:: atomic { faults > 0 -> faults--; goto killed }
	od;

first:	/* The answer may be old: this process may have been stopped since. */
	atomic {
#ifndef STALEGRANT
		if
		:: past[me] -> goto gone
		:: else
		fi;
#endif
		holds[me] = true;
		d_step {
			assert(owned[e]);
			assert(VALID(e) || vanished);
			assert(!VALID(e) || BEFORE(e) < OWNERS);
			living = 0;
			i = 0;
			do
			:: i < N ->
				if
#ifdef NODEADLINE
				:: holds[i] && !vanished -> living++
#else
				:: holds[i] && !past[i] && (VALID(mine[i]) || !vanished) -> living++
#endif
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0;
			assert(living <= OWNERS);
			living = 0;
#if OWNERS == 1
			assert(!VALID(e) || e > granted);
			if
			:: VALID(e) -> granted = e
			:: else
			fi
#endif
		}
	};

	/* the critical section: a write that may be late */
	if
	:: atomic { faults > 0 -> faults--; goto killed }
#if OWNERS > 1
	:: me == 0 -> /* it may last for ever: the other slot is still there */
end_holds:	false
#endif
	:: true
	fi;
	d_step {
		if
#ifdef NOFENCE
		:: true ->
			assert(e >= stored);
#else
		:: e >= stored ->
#endif
			stored = e
#ifndef NOFENCE
		:: else ->
#if OWNERS == 1
			assert(past[me] || !VALID(e))
#else
			skip
#endif
#endif
		fi
	};
	atomic { holds[me] = false; release(t) };
	goto done;

gone:	/* evicted, or given up: the ticket is given back, and another one taken */
	release(t);
	goto again;
done:	goto over;

killed:	atomic { holds[me] = false; dead[me] = true };
end_dead:
	false;
over:	skip
}

/* Time. The own deadline passes first, the lease runs out after it; a heartbeat puts
 * both off. A client that runs renews in time, so that only one that is stopped gets
 * this far; it sees its deadline when it goes on. The lease of an entry that no client
 * knows of, or whose client was killed, is renewed by none. */
#define ORPHAN(t) (lease[t] != NONE && lease[t] != MARK && (current[t / TRIES] != t || left[t] || dead[t / TRIES]))

proctype time() {
	byte c;
end:	do
	:: atomic {
		faults > 0 ->
		faults--;
		select(c : 0 .. N - 1);
		if
		:: lease[current[c]] != NONE && lease[current[c]] != MARK && !left[current[c]] && !dead[c] -> past[c] = true
		:: else -> goto end
		fi
	   };
	   if
	   :: atomic { lease[current[c]] != NONE && lease[current[c]] == mine[c] && !holds[c] -> past[c] = false } /* a heartbeat in between */
	   :: atomic {
		if
		:: past[c] && lease[current[c]] != MARK && !left[current[c]] -> lease[current[c]] = NONE
		:: else
		fi
	      };
#ifdef RESURRECT
	      atomic {
		if
		:: mine[c] != NONE && !queued[mine[c]] && !left[current[c]] -> queued[mine[c]] = true; lease[current[c]] = mine[c]; past[c] = false
		:: else
		fi
	      }
#endif
	   fi
#ifdef AGE
	:: atomic { faults > 0 && VALID(1) && holds[token[1] / TRIES] && !past[token[1] / TRIES] -> faults--; queued[1] = false }
#endif
	:: atomic { ORPHAN(0) -> lease[0] = NONE }
	:: atomic { ORPHAN(1) -> lease[1] = NONE }
	:: atomic { ORPHAN(2) -> lease[2] = NONE }
	:: atomic { ORPHAN(3) -> lease[3] = NONE }
	:: atomic { ORPHAN(4) -> lease[4] = NONE }
	:: atomic { ORPHAN(5) -> lease[5] = NONE }
	od
}

/* The network delivers requests when it likes. */
proctype network() {
	byte e, i, living, passed, t;
	bool owns;
end:	do
	:: atomic {
		if
		:: late[0] -> t = 0
		:: late[1] -> t = 1
		:: late[2] -> t = 2
		:: late[3] -> t = 3
		:: late[4] -> t = 4
		:: late[5] -> t = 5
		fi;
		d_step {
			late[t] = false;
			register(t);
			assert(e == NONE || !left[t] || vanished);
			e = 0;
			t = 0;
			owns = false
		}
	   }
	od
}

/* Keys vanish: all of them, one lease, one entry, or seq. */
proctype loss() {
	byte i;
end:	do
	:: d_step {
		faults > 0 ->
		faults--;
		vanished = true;
		i = 0;
		do
		:: i < ENTRIES ->
			queued[i] = false;
			if
			:: i < N * TRIES -> lease[i] = NONE
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		seq = 0
	   }
	:: atomic { faults > 0 -> faults--; vanished = true; select(i : 0 .. N * TRIES - 1); lease[i] = NONE; i = 0 }
	:: atomic { faults > 0 -> faults--; vanished = true; select(i : 1 .. ENTRIES - 1); queued[i] = false; i = 0 }
	:: atomic { faults > 0 && seq > 0 -> faults--; vanished = true; seq = 0 }
	od
}

init {
	atomic {
		current[1] = TRIES;
		current[2] = 2 * TRIES;
		run client(0);
		run client(1);
		run client(2);
		run time();
		run network();
		run loss()
	}
}
