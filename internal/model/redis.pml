/*
 * A model of the Redis queue and of the heartbeat in package lock: processes
 * that register, wait, hold, write to a storage and leave; each may be stopped
 * at any step, for longer than its lease, and go on later.
 *
 * What the model keeps of the real thing: a script is one step; a lease runs
 * out by the server's clock while nobody renews it; its owner's own deadline
 * passes before that, but a stopped owner does not see it until it goes on; the
 * grant is a message that may be late. What it leaves out: names, errors, lost
 * data.
 *
 * Checked: never two owners that could know it (that are not past their own
 * deadline); numbers ascend in the order of grants; a storage that remembers
 * the highest token takes no write of an older owner; nobody is stuck (an
 * invalid end state).
 *
 * The variants are protocols that do not work, and spin must find out:
 *   TWOSTEP     the number is taken in one step and shown in another
 *   RESURRECT   a heartbeat makes a ticket that is not there
 *   NODEADLINE  an owner believes in its hold until the server says otherwise
 *   STALEGRANT  a grant is believed also after the own deadline
 *   PAUSED      judging a head and evicting it are two steps
 *   NOFENCE     the storage does not check the token
 */

#define N      3
#define ROUNDS 1
#define STOPS  2 /* times that somebody may be stopped past its lease */
#define NONE   255

byte seq = 0;        /* the last number given; the clock keeps it from going back */
byte score[N];       /* the number of each one's ticket in the ZSET; 0: not in line */
bool lease[N];       /* its lease has not run out */
bool past[N];        /* its own deadline has passed */
bool grant[N];       /* a message that says it has become the head is on its way */
bool holds[N];       /* it takes itself for the owner */
byte granted = 0;    /* the highest token so far */
byte stops = STOPS;
byte stored = 0;     /* the token of the last write that the storage took */
byte dead;           /* of PAUSED: the one who was judged */

/* Every script removes the dead heads and tells the new one. */
inline sweep(low, i, front) {
	front = NONE;
	low = NONE;
	do
	:: true ->
		low = NONE;
		i = 0;
		do
		:: i < N ->
			if
			:: score[i] && (low == NONE || score[i] < score[low]) -> low = i
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: front == NONE -> front = low
		:: else
		fi;
		if
#ifndef PAUSED
		:: low != NONE && !lease[low] -> score[low] = 0
#endif
		:: else -> break
		fi
	od;
	if
	:: low != NONE && low != front -> grant[low] = true
	:: else
	fi;
	i = 0
}

/* leave is the release script: the own ticket goes, and the next one is told. */
inline leave(me, low, i, front) {
	d_step {
		if
		:: score[me] ->
			score[me] = 0;
			lease[me] = false;
			sweep(low, i, front);
			if
			:: low != NONE -> grant[low] = true /* at the worst it is told twice */
			:: else
			fi
		:: else
		fi;
		grant[me] = false
	}
}

proctype client(byte me) {
	byte low, i, front, token, rounds = ROUNDS;
again:
	do
	:: rounds == 0 -> break
	:: else ->
		/* register.lua */
#ifdef TWOSTEP
		seq++;
		token = seq;
		d_step {
			sweep(low, i, front);
			score[me] = token;
			lease[me] = true;
			past[me] = false;
			grant[me] = false;
			if
			:: low == NONE -> low = me
			:: else
			fi
		}
#else
		d_step {
			sweep(low, i, front);
			seq++;
			token = seq;
			score[me] = token;
			lease[me] = true;
			past[me] = false;
			grant[me] = false;
			if
			:: low == NONE -> low = me
			:: else
			fi
		}
#endif
		if
		:: low == me -> goto first
		:: else
		fi;

		do
		/* position.lua, at a poll */
		:: d_step {
			sweep(low, i, front);
			/* as it is answered: was it still in line, with its lease? */
			if
			:: score[me] != token || !lease[me] -> low = N
			:: else
			fi
		   };
		   if
		   :: low == me -> goto first
		   :: low == N -> goto gone
		   :: else
		   fi;
		   /* the poll is due when there is something to see */
		   atomic {
			(grant[me] || score[me] != token || !lease[low] || score[low] == 0
			 || score[low] > token || past[me]) ->
			skip
		   };
		   if
		   :: past[me] -> goto gone
		   :: else
		   fi
		:: grant[me] ->
			grant[me] = false;
			goto first
		od;

first:		/* The answer may be old: this process may have been stopped since. */
		atomic {
#ifndef STALEGRANT
			if
			:: past[me] -> goto gone
			:: else
			fi;
#endif
			holds[me] = true;
			/* one that is past its deadline knows that it may not own the lock */
			i = 0;
			do
			:: i < N ->
#ifdef NODEADLINE
				assert(i == me || !holds[i]);
#else
				assert(i == me || !holds[i] || past[i]);
#endif
				i++
			:: else -> break
			od;
			i = 0;
			assert(token > granted);
			granted = token
		}

		/* the critical section: a write that may be late */
		d_step {
#ifndef NOFENCE
			if
			:: token >= stored ->
#else
			if
			:: true ->
#endif
				assert(token >= stored);
				stored = token
			:: else
			fi
		}
		holds[me] = false;
		leave(me, low, i, front);
		rounds--;
		goto again;

gone:		/* evicted: the ticket is given back, and another one taken */
		leave(me, low, i, front)
	od
}

/* Time. The own deadline passes first, the lease runs out after it; a heartbeat
 * puts both off. Somebody who runs is renewed in time, so that only somebody
 * who is stopped gets this far; it sees its deadline when it goes on. */
proctype time() {
	byte i;
	do
	:: stops > 0 ->
		stops--;
		select(i : 0 .. N - 1);
		if
		:: lease[i] && score[i] -> past[i] = true
		:: else -> goto next
		fi;
		/* a heartbeat in between */
		if
		:: atomic { lease[i] && score[i] && !holds[i] -> past[i] = false }; goto next
		:: skip
		fi;
#ifdef PAUSED
		dead = score[i];
		atomic {
			if
			:: past[i] && score[i] == dead -> lease[i] = true; past[i] = false /* a heartbeat after the judgement */
			:: else
			fi
		};
		if
		:: score[i] == dead -> score[i] = 0
		:: else
		fi;
#else
		atomic {
			if
			:: past[i] -> lease[i] = false
			:: else
			fi
		};
#endif
#ifdef RESURRECT
		/* a heartbeat that is late */
		atomic {
			if
			:: score[i] == 0 -> score[i] = 1; lease[i] = true
			:: else
			fi
		};
#endif
next:		skip
	:: stops == 0 -> break
	od
}

init {
	atomic {
		run client(0);
		run client(1);
		run client(2);
		run time()
	}
}
