/*
 * A model of the file queue: processes that register, wait, hold, leave and
 * clean up in one directory, and that may be killed between any two steps.
 *
 * What the model keeps of the real thing: seq is an inode that cleanup unlinks
 * and the next one creates anew; a flock is on the inode that was opened, not
 * on the name; the kernel drops the flocks of a killed process at once; a
 * ticket is a file that its owner holds a flock on. What it leaves out: names,
 * errors, wake-ups (a wait is a condition that becomes true).
 *
 * Checked: at most one owner; tokens ascend in the order of grants; nobody is
 * stuck (an invalid end state).
 *
 * The variants are protocols that do not work, and spin must find out:
 *   TWOSTEP    the ticket is made after seq is unlocked
 *   NORECHECK  whoever gets the flock of seq believes that it is still seq
 *   RESET      numbers are not seeded from the clock
 *   AGE        a head may be evicted although its owner is alive
 */

#define N        3 /* processes */
#define ROUNDS   2 /* times that each one locks */
#define INODES   8 /* that seq may have had */
#define NONE     255

byte path = 0;        /* the inode that the name seq leads to; 0: there is no file */
byte made = 0;        /* inodes made so far */
byte flocked[INODES]; /* who holds the flock of an inode */
byte content[INODES]; /* the number in it */
byte clock = 0;       /* never behind the last number given, as a clock in µs is not */

byte ticket[N];       /* the number of the ticket file of each; 0: none */
bool alive[N];        /* whether its flock is held */

byte owners = 0;      /* that are in the critical section */
byte granted = 0;     /* the highest token so far */

inline lowest(me, low) {
	/* the lowest ticket file that there is, by its owner; NONE if there is none;
	 * a listing that skips or repeats nothing, as numbers only leave below it */
	d_step {
		low = NONE;
		i = 0;
		do
		:: i < N ->
			if
			:: ticket[i] && (low == NONE || ticket[i] < ticket[low]) -> low = i
			:: else
			fi;
			i++
		:: else -> break
		od;
		watched = (low == NONE -> 0 : ticket[low]);
		i = 0
	}
}

/* Lock seq: open what is at the path, or make it; wait for its flock; look
 * whether it is still what is at the path. */
inline lockSeq(me) {
	do
	:: atomic {
		if
		:: path == 0 ->
			made++;
			assert(made < INODES);
			path = made;
			flocked[path] = NONE;
			content[path] = 0
		:: else
		fi;
		opened = path
	   }
	   atomic { flocked[opened] == NONE -> flocked[opened] = me }
#ifndef NORECHECK
	   if
	   :: path == opened -> break
	   :: else -> flocked[opened] = NONE
	   fi
#else
	   break
#endif
	od
}

inline unlockSeq() {
	flocked[opened] = NONE
}

inline nextNumber() {
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
		if
		:: number > clock -> clock = number
		:: else
		fi
	}
	content[opened] = number
}

inline makeTicket(me) {
	atomic { ticket[me] = number; alive[me] = true }
}

/* Evict the dead heads. seq is locked. */
inline evict(me) {
	do
	:: lowest(me, low);
	   if
	   :: low == NONE -> break
#ifdef AGE
	   :: low != NONE && low != me -> ticket[low] = 0; break
#endif
	   :: low != NONE && alive[low] -> break
	   :: low != NONE && !alive[low] -> ticket[low] = 0
	   fi
	od
}

proctype locker(byte me) {
	byte opened, number, low, i, rounds = ROUNDS;
	byte watched; /* the ticket in front: a name is never used twice */
	do
	:: rounds == 0 -> break
	:: else ->
		rounds--;

		lockSeq(me);
		nextNumber();
#ifdef TWOSTEP
		unlockSeq();
		makeTicket(me);
#else
		makeTicket(me);
		unlockSeq();
#endif

		/* Wait until the own ticket is the first; evict who is dead. */
		do
		:: lowest(me, low);
		   if
		   :: low == me -> break
		   :: low == NONE || ticket[me] == 0 -> goto lost
		   :: else
		   fi;
		   /* woken when the first one leaves or dies */
#ifndef AGE
		   (ticket[low] != watched || !alive[low] || ticket[me] == 0);
#endif
		   if
		   :: ticket[low] != watched
		   :: else ->
			lockSeq(me);
			evict(me);
			unlockSeq()
		   fi
		od;

		atomic {
			owners++;
			assert(owners == 1);
			assert(ticket[me] > granted);
			granted = ticket[me]
		}
		/* the critical section */
		owners--;

		/* Unlock: the ticket goes, then what is left of an empty queue. */
		ticket[me] = 0;
		alive[me] = false;
lost:
		lockSeq(me);
		evict(me);
		lowest(me, low);
		if
		:: low == NONE && path == opened -> path = 0 /* unlink seq */
		:: else
		fi;
		unlockSeq()
	od
}

/* A killed process is a locker that ends anywhere: its flocks are dropped, its
 * files stay. It is modelled as a ticket whose owner is gone, which appears at
 * the place in line where the process was, and a seq lock that is dropped. */
proctype mortal(byte me) {
	byte opened, number, low, i;
	lockSeq(me);
	if
	:: goto killed
	:: nextNumber()
	fi;
	if
	:: goto killed
	:: makeTicket(me)
	fi;
killed:
	atomic {
		alive[me] = false;
		flocked[opened] = NONE
	}
}

init {
	atomic {
		run locker(0);
		run locker(1);
		run mortal(2)
	}
}
