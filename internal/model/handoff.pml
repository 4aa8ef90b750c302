/*
 * A model of the hand-off inside a process, on a queue in Redis with one owner: when
 * the holder of a proven head gives it up, and the ticket directly behind is that of
 * a waiter of the same process, that one is granted at once, before the release is
 * sent. A grant may be built on a grant, and so on: a chain, of which the server may
 * not have heard yet. (What the queue itself does is in redis.pml.)
 *
 * Clients 0, 1 and 2 are of one process, client 3 of another. What a client of the
 * process knows of another's ticket it knows at once. Releases may be executed in
 * another order than they were sent in; one may be lost, and then its ticket leaves
 * when its lease runs out. A client is cancelled, or stopped for longer than its
 * lease, or evicted; keys vanish.
 *
 * A release is answered with the first in line after it, none, or "gone". The grants that
 * were built on it are taken back to a look at once if that is not what it should be: the
 * first in line should be one of the chain behind the ticket, or one in front with a
 * release that is still under way; or when every release that the grant is built on has
 * been answered, and none has named it. A release that has no answer for a lease is as good
 * as "gone"; those that were sent before it had none for as long.
 *
 * handOn looks at the deadlines of both. Nothing that is checked here depends on it: one
 * that is granted past its own finds that as it enters.
 *
 * Checked:
 *   - at most one holds that has a ticket in line and is not past its deadline; and
 *     as long as nothing has vanished at most one that is not past its deadline;
 *   - a client enters only before its own deadline;
 *   - an owner with a chain in which every release was answered has been the first in line,
 *     by the server, or looks: a wrong grant lasts no longer than that;
 *   - no owner is taken back for nothing: only after something has vanished, or a release
 *     was under way for a lease, is a hold lost before its deadline;
 *   - no client is stuck (an invalid end state).
 *
 * The variants are protocols that do not work, and spin must find out:
 *   STALE      a grant is believed past the own deadline
 *   KEPT       the chain is not taken back
 *   LINK       only the next one is taken back, not what was built on its grant
 *   BETWEEN    the next of the process is granted, also with others in between
 *   CANCELLED  a waiter that is cancelled hands on like a holder
 *   HASTY      a grant is taken back by an answer that does not name it, though releases
 *              that it is built on are under way
 *   MOVEUP     the next moves up behind one that left, though that is not confirmed
 *
 * Small: FAULTS=0
 *
 * Order: -DREVERSE, in which the errors of the variants are met sooner
 */

#define N      4 /* clients; init starts as many */
#define LOCAL  3 /* of them are of one process */
#define NONE   N
#ifndef FAULTS
#define FAULTS 1
#endif

/* How often something may go wrong: a client is stopped past its deadline or
 * cancelled, a release is lost, keys vanish. */
byte faults = FAULTS;

/* The server. Each client has one ticket. */
byte given = 0;
byte number[N];         /* of the ticket in line; 0: there is none */
bool lease[N];

/* The process. The remote client uses past and holds, too. */
bool past[N];           /* the own deadline has passed */
bool holds[N];
bool waiting[LOCAL];    /* it is in line, and knows it */
byte front[N];          /* the client with the ticket directly in front; NONE: not known */
bool grant[LOCAL];      /* by the process */
byte base[N];           /* the grant is built on the release of this client; NONE: the server said so */
bool sent[N];           /* the release is under way */
bool look[LOCAL];       /* the grant was taken back to a look */

/* What only the checks know. */
bool first[N];          /* the server has seen it as the first in line */
bool ready[N];          /* its number was shown to it */
bool vanished = false;
bool silent = false;    /* a release was under way for longer than its ticket was believed */

#define VALID(c)     (number[c] && lease[c])
#define BELOW(j, c)  (number[j] && lease[j] && number[j] < number[c])
#define ALONE(c)     (VALID(c) && !BELOW(0, c) && !BELOW(1, c) && !BELOW(2, c) && !BELOW(3, c))

/* The chain is at most LOCAL long. base[NONE] does not exist: B guards it. */
#define B(c)         (c == NONE -> NONE : base[c])
#define S(c)         (c != NONE && sent[c])
#define BUILT(c, on) (B(c) == on || B(B(c)) == on)
#define PENDING(c)   (S(B(c)) || S(B(B(c))))

/* sweep removes the dead heads and finds the first in line. */
inline sweep() {
	low = NONE;
	do
	:: true ->
		low = NONE;
		i = 0;
		do
		:: i < N ->
			if
			:: number[i] && (low == NONE || number[i] < number[low]) -> low = i
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: low != NONE && !lease[low] -> number[low] = 0
		:: else -> break
		fi
	od;
	i = 0;
	if
	:: low != NONE -> first[low] = true
	:: else
	fi
}

inline register() {
	d_step {
		sweep();
		last = NONE;
		do
		:: i < N ->
			if
			:: number[i] && (last == NONE || number[i] > number[last]) -> last = i
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		given++;
		number[me] = given;
		lease[me] = true;
		if
		:: low == NONE -> first[me] = true
		:: else
		fi
	}
}

/* handOn grants the ticket directly behind, if it is of this process. */
inline handOn() {
	i = 0;
	do
	:: i < LOCAL ->
		if
#ifdef BETWEEN
		:: waiting[i] && !grant[i] && number[i] > number[me] && !past[i] && !past[me] ->
#else
		:: waiting[i] && !grant[i] && front[i] == me && !past[i] && !past[me] ->
#endif
			grant[i] = true;
			base[i] = me;
			front[i] = NONE;
			break
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* follow has those behind me, which has left, follow another one, or NONE. */
inline follow(another) {
	i = 0;
	do
	:: i < LOCAL ->
		if
		:: front[i] == me -> front[i] = another
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* answered is what the process does with the answer to the release of me: low is the
 * first in line, gone says that me was not. */
inline answered() {
	sent[me] = false;
	if
	:: !gone && !owned -> follow(front[me]) /* confirmed */
	:: else
	fi;
	if
	:: gone
	:: !gone && (low == NONE || BUILT(low, me) || sent[low] && BUILT(me, low))
	:: else -> gone = true
	fi;
#ifndef KEPT
	i = 0;
	do
	:: i < LOCAL ->
		if
#ifdef LINK
		:: base[i] == me && i != low && (gone || !PENDING(i)) -> look[i] = true
#elif defined(HASTY)
		:: BUILT(i, me) && i != low -> look[i] = true
#else
		:: BUILT(i, me) && i != low && (gone || !PENDING(i)) -> look[i] = true
#endif
		:: else
		fi;
		i++
	:: else -> break
	od;
#endif
	if
	:: low != NONE && BUILT(low, me) -> base[low] = NONE /* confirmed */
	:: else
	fi;
	i = 0;
	do
	:: i < LOCAL ->
		assert(!holds[i] || past[i] || look[i] || PENDING(i) || first[i]);
		i++
	:: else -> break
	od;
	i = 0;
	gone = false;
	low = NONE
}

/* leave is Unlock, and the end of a waiter that gives up. */
inline leave() {
	if
	:: d_step {
		gone = number[me] == 0;
		silent = silent || gone && past[me];
		number[me] = 0;
		lease[me] = false;
		sweep()
	   };
	   d_step { answered() }
	:: d_step { faults > 0 -> faults--; past[me] = true }; /* the release is lost */
	   atomic {
		!VALID(me) && !PENDING(me) -> /* and its lease has run out */
		d_step { silent = true; gone = true; answered() }
	   }
	fi
}

inline check() {
	d_step {
		last = 0;
		low = 0;
		i = 0;
		do
		:: i < N ->
			if
			:: holds[i] && !past[i] && VALID(i) -> last++; low++
			:: holds[i] && !past[i] && !VALID(i) -> low++
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		assert(last <= 1);
		assert(low <= 1 || vanished);
		last = NONE;
		low = NONE
	}
}

proctype ours(byte me) {
	byte i, low, last;
	bool gone, owned;
	register();
	atomic {
		ready[me] = true;
		waiting[me] = true;
		front[me] = last;
		if
		:: low == NONE -> goto enter
		:: else
		fi
	};
wait:	do
	/* position.lua, when there is something to see */
	:: atomic {
		!grant[me] && (ALONE(me) || !VALID(me) || past[me]) ->
		if
		:: past[me] -> goto gives_up
		:: else
		fi;
		d_step { sweep(); last = NONE };
		if
		:: low == me -> goto enter
		:: low != me && !VALID(me) -> goto gives_up
		:: else
		fi
	   }
	:: atomic { grant[me] -> goto enter }
	:: atomic {
		faults > 0 && !grant[me] ->
		faults--;
#ifdef CANCELLED
		handOn();
#endif
		goto gives_up
	   }
	od;

enter:	atomic {
		waiting[me] = false;
		owned = true;
		if
#ifdef STALE
		:: false
#else
		:: past[me] -> goto gives_up
#endif
		:: look[me] -> look[me] = false; grant[me] = false; base[me] = NONE; waiting[me] = true; owned = false; goto wait
		:: else
		fi;
		holds[me] = true;
		assert(!past[me]);
		check()
	};

	/* the critical section */
	do
	:: atomic {
		look[me] ->
		d_step { sweep() };
		look[me] = false;
		base[me] = NONE;
		if
		:: low != me ->
			assert(vanished || silent || past[me]);
			holds[me] = false; /* Lost is closed */
			goto gives_up
		:: else
		fi
	   }
	:: break
	od;
	atomic {
		holds[me] = false;
		if
		:: look[me] -> goto gives_up
		:: else -> sent[me] = true; handOn()
		fi
	};
	leave();
	goto done;

gives_up:
	atomic {
		holds[me] = false;
		waiting[me] = false;
		sent[me] = true;
		if
#ifdef MOVEUP
		:: true -> follow(front[me])
#else
		:: owned -> follow(NONE)
		:: else /* when it is confirmed */
#endif
		fi
	};
	leave();
done:	skip
}

proctype theirs(byte me) {
	byte i, low, last;
	register();
	atomic {
		ready[me] = true;
		if
		:: low == NONE -> goto enter
		:: else
		fi
	};
	do
	:: atomic {
		(ALONE(me) || !VALID(me) || past[me]) ->
		if
		:: past[me] || !VALID(me) -> goto done
		:: else
		fi;
		d_step { sweep(); last = NONE };
		if
		:: low == me -> goto enter
		:: else
		fi
	   }
	od;
enter:	atomic {
		if
		:: past[me] -> goto done
		:: else
		fi;
		holds[me] = true;
		check()
	};
	holds[me] = false;
done:	skip;
	d_step {
		number[me] = 0;
		lease[me] = false;
		sweep();
		low = NONE
	}
}

/* Time, as in redis.pml: the own deadline passes before the lease. A ticket with a
 * lost release is renewed by none. */
proctype time() {
	byte c;
end:	do
	:: atomic {
		faults > 0 ->
		faults--;
		select(c : 0 .. N - 1);
		if
		:: ready[c] && VALID(c) -> past[c] = true
		:: else -> goto end
		fi
	   }
	:: atomic { past[0] && lease[0] -> lease[0] = false }
	:: atomic { past[1] && lease[1] -> lease[1] = false }
	:: atomic { past[2] && lease[2] -> lease[2] = false }
	:: atomic { past[3] && lease[3] -> lease[3] = false }
	od
}

/* Keys vanish: all of them, or one ticket's. */
proctype loss() {
	byte i;
end:	do
	:: d_step {
		faults > 0 ->
		faults--;
		vanished = true;
		i = 0;
		do
		:: i < N -> number[i] = 0; lease[i] = false; i++
		:: else -> break
		od;
		i = 0
	   }
	:: atomic { faults > 0 -> faults--; vanished = true; select(i : 0 .. N - 1); lease[i] = false; i = 0 }
	:: atomic { faults > 0 -> faults--; vanished = true; select(i : 0 .. N - 1); number[i] = 0; i = 0 }
	od
}

init {
	byte i;
	atomic {
		do
		:: i < N -> front[i] = NONE; base[i] = NONE; i++
		:: else -> break
		od;
		i = 0;
		run ours(0);
		run ours(1);
		run ours(2);
		run theirs(3);
		run time();
		run loss()
	}
}
