/*
 * A model of the file queue: processes that register, wait, hold, leave and clean up
 * in one directory, that may be killed between any two steps; and a program that
 * tidies up or restores a backup: it removes seq, replaces it by an older one, or puts
 * the one back that it has moved away, at any moment.
 *
 * What the model keeps of the real thing: seq is an inode that is unlinked and created
 * anew; a flock is on the inode that was opened, not on the name; the kernel drops the
 * flocks of a killed process at once; a ticket is a file that its owner creates, and
 * then holds a flock on; whatever happens to an inode changes its change time. What it
 * leaves out: names, errors, wake-ups (a wait is a condition that becomes true), the
 * door (it only orders the calls that try for the flock on seq), stale timeouts, kinds,
 * several tickets of one process, the flocks on the directory and its removal: cleaning up
 * looks and removes seq in one step.
 *
 * A process knows the line only by its listings: known are the tickets that it has seen.
 * It lists anew where it is not proven that no other has joined since (see join.go): seq,
 * which it has left open, is at its path with the number and the change time that it had
 * then, and nothing has come to the directory or gone since before that look. (Where there
 * are three processes, each locks once, and knows all that are before it without listing.)
 * A call that only tries has no ticket if another one may own.
 *
 * joined, left and listed are the steps of line.go. Looking for the dead in front of
 * the own ticket needs no flock of seq: all of them had theirs before it was there.
 *
 * (A process that got the flock of seq looks whether it is still seq. That is for speed: the
 * look after the ticket is there finds it, too.)
 *
 * Checked: at most OWNERS hold; tokens ascend in the order of grants (OWNERS 1); a
 * number is never given to two tickets; no process is stuck (an invalid end state).
 *
 * The variants are protocols that do not work, and spin must find out:
 *   TWOSTEP    the ticket is made after seq is unlocked
 *   NOWITHDRAW no process looks, after the ticket is there, whether seq is still at its path
 *   NOCHANGE   only the inode is compared then, not when it was changed
 *   LATE (ROUNDS=2)  the change time of the directory is read after the look at seq
 *   BLIND (TRIES)  a call that only tries owns because the line was free before it had a number
 *   RESET      numbers are not seeded from the clock
 *   AGE        an owner may be evicted although it is alive
 *   HEADONLY (OWNERS=2)  the dead are removed only in front, not among all the owners
 *
 * Configuration: OWNERS=1
 * Configuration: OWNERS=2
 * Configuration: ROUNDS=2
 * Configuration: TRIES
 */

#ifndef OWNERS
#define OWNERS   1
#endif
#ifndef ROUNDS
#define ROUNDS   1 /* times that the first one locks; the second does once */
#endif
#ifndef MEDDLES
#define MEDDLES  1 /* times that the other program does something to seq */
#endif
#if ROUNDS > 1 || defined(TRIES)
#define NARROW     /* two processes, and a program that moves seq away and back */
#endif
#define N        3 /* processes; init starts as many, or two */
#define INODES   9 /* that seq may have had */
#define NONE     255

/* The directory. */
byte path = 0;         /* the inode that the name seq leads to; 0: there is no file */
byte made = 0;         /* inodes made so far */
byte flocked[INODES];  /* the process that holds the flock of an inode */
byte content[INODES];  /* the number in it */
byte changed[INODES];  /* its change time */
byte ticket[N];        /* the number of the ticket file of each; 0: none */
bool alive[N];         /* whether its flock is held */
byte entries = 0;      /* the change time of the directory */
#if ROUNDS > 1
#define TOUCH entries++
#else
#define TOUCH skip     /* nothing is known that might have changed */
#endif

byte clock = 0;        /* never behind the last number given, as a clock in µs is not */

/* What only the checks know. */
byte owners = 0;       /* that are in the critical section */
byte granted = 0;      /* the highest token so far */

#define BELOW(j) (ticket[j] && ticket[j] < ticket[me])
#ifdef NARROW
#define SEEN(j)  (BELOW(j) && known[j] == ticket[j])
#else
#define SEEN(j)  BELOW(j) /* a process that locks once lists once */
#endif
#define AHEAD    (SEEN(0) + SEEN(1) + SEEN(2))
#define THERE(j) (me != j && known[j] && known[j] == ticket[j])
#define FULL     (THERE(0) + THERE(1) + THERE(2) >= OWNERS)
#define FRONT(j) (!(ticket[0] && ticket[0] < ticket[j]) && !(ticket[1] && ticket[1] < ticket[j]) && !(ticket[2] && ticket[2] < ticket[j]))
#ifdef HEADONLY
#define DEAD(j)  (SEEN(j) && !alive[j] && FRONT(j))
#else
#define DEAD(j)  (SEEN(j) && !alive[j])
#endif

/* lockSeq: open what is at the path, or make it; wait for its flock; look whether it
 * is still what is at the path. */
inline lockSeq() {
	do
	:: atomic {
		if
		:: path == 0 ->
			made++;
			assert(made < INODES);
			path = made;
			TOUCH;
			flocked[path] = NONE
		:: else
		fi;
		opened = path
	   };
	   atomic { flocked[opened] == NONE -> flocked[opened] = me; before = entries }; /* before the look */
	   atomic {
		if
		:: path == opened ->
			same = opened == knew && content[opened] == knewNumber && changed[opened] == knewAt;
			break
		:: else -> flocked[opened] = NONE
		fi
	   }
	od
}

/* list has the process know all the tickets that are there. */
inline list() {
#ifdef NARROW
	known[0] = ticket[0];
	known[1] = ticket[1];
	known[2] = ticket[2]
#else
	skip
#endif
}

inline unlockSeq() {
	d_step {
		flocked[opened] = NONE;
		opened = 0
	}
}

/* takeNumber writes the next number into seq, and lists the tickets, unless it is proven
 * that those are known. */
inline takeNumber() {
#ifdef LATE
	before = entries;
#endif
	d_step {
		number = content[opened];
		i = 0;
		do
		:: i < N ->
			if
			:: ticket[i] > number -> number = ticket[i]
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
#ifndef RESET
		if
		:: clock > number -> number = clock
		:: else
		fi;
#endif
		number++;
		assert(number != ticket[0] && number != ticket[1] && number != ticket[2]);
		if
		:: number > clock -> clock = number
		:: else
		fi;
		content[opened] = number;
		changed[opened]++;
		seen = changed[opened];
		knew = 0
	};
	d_step {
		if
		:: !same || entries != before -> list()
		:: else
		fi
	}
}

/* joined: the file of the ticket is there, and then its flock is held, if it is still
 * at its path. */
inline joined() {
	atomic { ticket[me] = number; TOUCH };
	atomic {
		if
		:: ticket[me] == number -> alive[me] = true; number = 0
		:: else -> number = 0
		fi
	}
}

/* left: the file of the own ticket is removed, and its flock dropped. */
inline left() {
	d_step {
		ticket[me] = 0;
		TOUCH;
		alive[me] = false
	}
}

/* evict removes the dead in front of the own ticket: all with a flock that can be
 * taken. With everything true also those behind, which needs the flock of seq. */
inline evict(everything) {
	d_step {
		i = 0;
		do
		:: i < N ->
			if
#ifdef HEADONLY
			:: ticket[i] && !alive[i] && (everything || SEEN(i)) && FRONT(i) -> ticket[i] = 0; TOUCH
#else
			:: ticket[i] && !alive[i] && (everything || SEEN(i)) -> ticket[i] = 0; TOUCH
#endif
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

proctype locker(byte me; byte rounds) {
	byte opened, number, seen, i;
	byte known[N];
	byte before, knew, knewNumber, knewAt;
	bool same, tries;
	do
	:: rounds == 0 -> break
	:: else ->
		rounds--;
#ifdef TRIES
		if
		:: tries = false
		:: tries = true
		fi;
#endif
again:
		lockSeq();
		/* A call that only tries looks first. */
		atomic {
			if
			:: tries && !same -> list()
			:: else
			fi
		};
		if
		:: tries && FULL -> unlockSeq(); goto over
		:: else
		fi;
		takeNumber();
#ifndef BLIND
		if
		:: tries && FULL -> unlockSeq(); goto over
		:: else
		fi;
#endif
#ifdef TWOSTEP
		unlockSeq();
		joined();
#else
		joined();
		/* Is seq still the one at the path, and as it was written? */
		atomic {
			if
#ifndef NOWITHDRAW
			:: path != opened -> left(); unlockSeq(); goto again
#ifndef NOCHANGE
			:: path == opened && changed[opened] != seen -> left(); unlockSeq(); goto again
#endif
#endif
			:: ticket[me] == 0 -> left(); unlockSeq(); goto again
#if ROUNDS > 1
			:: else -> knew = opened; knewNumber = content[opened]; knewAt = seen
#else
			:: else
#endif
			fi
		};
		unlockSeq();
#endif
		if
		:: atomic { tries && ticket[me] -> goto own }
		:: atomic { tries && ticket[me] == 0 -> goto lose }
		:: !tries
		fi;
		/* Wait until fewer than OWNERS are in front; evict those that are dead. */
		do
		:: atomic {
			ticket[me] == 0 -> goto lose
		   }
		:: atomic { ticket[me] && AHEAD < OWNERS -> goto own }
		:: atomic {
			ticket[me] && AHEAD >= OWNERS && (DEAD(0) || DEAD(1) || DEAD(2)) ->
			evict(false)
		   }
#ifdef AGE
		:: d_step {
			ticket[me] && AHEAD >= OWNERS ->
			if
			:: BELOW(0) -> ticket[0] = 0
			:: BELOW(1) -> ticket[1] = 0
			:: BELOW(2) -> ticket[2] = 0
			fi
		   }
#endif
		od;

own:		atomic {
			owners++;
			assert(owners <= OWNERS);
#if OWNERS == 1
			assert(ticket[me] > granted);
			granted = ticket[me]
#endif
		};
		/* the critical section */
#if OWNERS > 1
		if
		:: me == 0 -> /* which may last for ever: the other slot is still there */
end:			false
		:: true
		fi;
#endif
		atomic { owners--; left() };

lose:		/* What is left of an empty queue is removed, unless another call is under way. */
		alive[me] = false;
		if
#if ROUNDS > 1
		:: goto over
#endif
		:: skip
		fi;
		lockSeq();
		evict(true);
		atomic {
			if
			:: !ticket[0] && !ticket[1] && !ticket[2] && path == opened -> path = 0; changed[opened]++; TOUCH
			:: else
			fi;
			unlockSeq()
		};
over:		skip
	od
}

/* A killed process is one that ends anywhere: its flocks are dropped, its files stay. */
proctype mortal(byte me) {
	byte opened, number, seen, i;
	byte known[N];
	byte before, knew, knewNumber, knewAt;
	bool same;
	lockSeq();
	if
	:: goto killed
	:: takeNumber()
	fi;
	if
	:: goto killed
	:: atomic { ticket[me] = number; TOUCH }
	fi;
	if
	:: goto killed
	:: atomic { ticket[me] == number -> alive[me] = true }
	:: atomic { ticket[me] != number -> goto killed }
	fi;
	/* It looks whether seq is still there, like the others. */
	atomic {
		if
		:: path != opened || changed[opened] != seen -> ticket[me] = 0; TOUCH
		:: else
		:: true /* killed before that */
		fi
	};
killed:
	atomic {
		alive[me] = false;
		flocked[opened] = NONE
	}
}

/* Another program: a cleaner, a backup, a restore. */
proctype meddler() {
	byte aside, meddles = MEDDLES;
end:	do
	:: meddles == 0 && !aside -> break
#ifndef NARROW
	:: atomic { meddles > 0 && path -> meddles--; changed[path]++; TOUCH; path = 0 } /* removed */
	:: atomic { /* replaced by a copy that is older */
		meddles > 0 && path && made < INODES - 1 ->
		meddles--;
		made++;
		TOUCH;
		flocked[made] = NONE;
		content[made] = 0;
		path = made
	   }
#endif
	:: atomic { meddles > 0 && path && !aside -> meddles--; aside = path; changed[path]++; TOUCH; path = 0 } /* moved away */
	:: atomic { aside -> path = aside; changed[aside]++; TOUCH; aside = 0 } /* and put back */
	od
}

init {
	byte i;
	atomic {
		do
		:: i < INODES -> flocked[i] = NONE; i++
		:: else -> break
		od;
		i = 0;
		run locker(0, ROUNDS);
		run locker(1, 1);
#ifndef NARROW
		run mortal(2);
#endif
		run meddler()
	}
}
