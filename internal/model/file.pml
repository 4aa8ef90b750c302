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
 * door (it only orders the calls that try for the flock on seq), stale timeouts.
 *
 * joined, left and listed are the steps of line.go. Looking for the dead in front of
 * the own ticket needs no flock of seq: all of them had theirs before it was there.
 *
 * (That whoever got the flock of seq looks whether it is still seq is for speed: the
 * look after the ticket is there finds it, too.)
 *
 * Checked: at most OWNERS hold; tokens ascend in the order of grants (OWNERS 1); a
 * number is never given to two tickets; nobody is stuck (an invalid end state).
 *
 * The variants are protocols that do not work, and spin must find out:
 *   TWOSTEP    the ticket is made after seq is unlocked
 *   NOWITHDRAW nobody looks, after the ticket is there, whether seq is still at its path
 *   NOCHANGE   only the inode is compared then, not when it was changed
 *   RESET      numbers are not seeded from the clock
 *   AGE        an owner may be evicted although it is alive
 *   HEADONLY (OWNERS=2)  the dead are removed only in front, not among all the owners
 *
 * Configuration: OWNERS=1
 * Configuration: OWNERS=2
 */

#ifndef OWNERS
#define OWNERS   1
#endif
#define ROUNDS   1 /* times that each one locks */
#ifndef MEDDLES
#define MEDDLES  1 /* times that the other program does something to seq */
#endif
#define N        3 /* processes; init starts as many */
#define INODES   9 /* that seq may have had */
#define NONE     255

/* The directory. */
byte path = 0;         /* the inode that the name seq leads to; 0: there is no file */
byte made = 0;         /* inodes made so far */
byte flocked[INODES];  /* who holds the flock of an inode */
byte content[INODES];  /* the number in it */
byte changed[INODES];  /* its change time */
byte ticket[N];        /* the number of the ticket file of each; 0: none */
bool alive[N];         /* whether its flock is held */

byte clock = 0;        /* never behind the last number given, as a clock in µs is not */

/* What only the checks know. */
byte owners = 0;       /* that are in the critical section */
byte granted = 0;      /* the highest token so far */

#define BELOW(j) (ticket[j] && ticket[j] < ticket[me])
#define AHEAD    (BELOW(0) + BELOW(1) + BELOW(2))
#define FRONT(j) (!(ticket[0] && ticket[0] < ticket[j]) && !(ticket[1] && ticket[1] < ticket[j]) && !(ticket[2] && ticket[2] < ticket[j]))
#ifdef HEADONLY
#define DEAD(j)  (BELOW(j) && !alive[j] && FRONT(j))
#else
#define DEAD(j)  (BELOW(j) && !alive[j])
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
			flocked[path] = NONE
		:: else
		fi;
		opened = path
	   };
	   atomic { flocked[opened] == NONE -> flocked[opened] = me };
	   if
	   :: path == opened -> break
	   :: else -> flocked[opened] = NONE
	   fi
	od
}

inline unlockSeq() {
	d_step {
		flocked[opened] = NONE;
		opened = 0
	}
}

/* takeNumber lists the tickets and writes the next number into seq. */
inline takeNumber() {
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
		seen = changed[opened]
	}
}

/* joined: the file of the ticket is there, and then its flock is held, if it is still
 * at its path. */
inline joined() {
	ticket[me] = number;
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
		alive[me] = false
	}
}

/* evict removes the dead in front of the own ticket: all of them whose flock can be
 * taken. With everything true also those behind, which needs the flock of seq. */
inline evict(everything) {
	d_step {
		i = 0;
		do
		:: i < N ->
			if
#ifdef HEADONLY
			:: ticket[i] && !alive[i] && (everything || BELOW(i)) && FRONT(i) -> ticket[i] = 0
#else
			:: ticket[i] && !alive[i] && (everything || BELOW(i)) -> ticket[i] = 0
#endif
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

proctype locker(byte me) {
	byte opened, number, seen, i, rounds = ROUNDS;
	do
	:: rounds == 0 -> break
	:: else ->
		rounds--;
again:
		lockSeq();
		takeNumber();
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
			:: else
			fi
		};
		unlockSeq();
#endif
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

lose:		/* What is left of an empty queue is removed. */
		alive[me] = false;
		lockSeq();
		evict(true);
		atomic {
			if
			:: !ticket[0] && !ticket[1] && !ticket[2] && path == opened -> path = 0; changed[opened]++
			:: else
			fi;
			unlockSeq()
		}
	od
}

/* A killed process is one that ends anywhere: its flocks are dropped, its files stay. */
proctype mortal(byte me) {
	byte opened, number, seen, i;
	lockSeq();
	if
	:: goto killed
	:: takeNumber()
	fi;
	if
	:: goto killed
	:: ticket[me] = number
	fi;
	if
	:: goto killed
	:: atomic { ticket[me] == number -> alive[me] = true }
	:: atomic { ticket[me] != number -> goto killed }
	fi;
	/* It looks whether seq is still there, like the others. */
	atomic {
		if
		:: path != opened || changed[opened] != seen -> ticket[me] = 0
		:: else
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
	:: meddles == 0 -> break
	:: atomic { meddles > 0 && path -> meddles--; changed[path]++; path = 0 } /* removed */
	:: atomic { /* replaced by a copy that is older */
		meddles > 0 && path && made < INODES - 1 ->
		meddles--;
		made++;
		flocked[made] = NONE;
		content[made] = 0;
		path = made
	   }
	:: atomic { meddles > 0 && path && !aside -> meddles--; aside = path; changed[path]++; path = 0 } /* moved away */
	:: atomic { aside -> path = aside; changed[aside]++; aside = 0 } /* and put back */
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
		run locker(0);
		run locker(1);
		run mortal(2);
		run meddler()
	}
}
