/*
 * A model of crash detection on Redis (redisqueue.WithCrashDetection): one ticket, its
 * owner with a process that is subscribed, and the others that look at the line. Time goes in
 * ticks, eight to the grace time. In each the owner acts once, and the others look at any
 * moment, as often as they like, and at least every other tick.
 *
 * What can happen: the server closes the connection, and the owner hears of it at once,
 * late, or never; pings are answered late or not at all; from one tick to another scripts
 * do not reach the server any more, and do again; the process ends; the server is followed
 * by another (a restart, a failover), with the data of now or of before, and without the
 * connection; the entry or the mark vanishes.
 *
 * Checked:
 *   - no ticket is evicted before its owner was told, unless the process has ended. The
 *     case that is left is not among what happens: an owner that neither hears of the end
 *     of its connection nor reaches the server;
 *   - the ticket of a process that has ended leaves the line within one and a half grace
 *     times, if the server has seen the process.
 *
 * What the model leaves out: the lease, which decides whatever happens here; the line; a
 * process that stands still.
 *
 * The variants are protocols that do not work, and spin must find out:
 *   DEAF        the case that is left happens
 *   NOOWNER     an owner goes by its lease when its connection has broken
 *   ONELOOK     the first look that finds a process absent evicts its ticket
 *   NORUN       a server judges a process that it has not seen
 *   NOSIGN      no script clears the mark
 *   LATESIGN    a ping must be unanswered for three quarters of the grace time before a
 *               sign is sent
 *   PINGCOUNTS  a ping is a sign also on a connection on which no script was answered
 *   UNMARK      a look removes a mark that has not lasted long enough, without the entry
 *
 * Small: FAULTS=2
 */

#ifndef FAULTS
#define FAULTS 3
#endif

#define GRACE    8
#define PING     2              /* ticks between two pings */
#define ASK      2              /* between two signs of an owner with a broken connection */
#define GIVEUP   7              /* after the last sign */
#ifdef LATESIGN
#define SILENT   6
#else
#define SILENT   1              /* after a ping that is not answered */
#endif
#define CLOSE    4              /* after a ping that is not answered, if a script was since */
#define NONE     15

byte faults = FAULTS;

/* The server. */
byte server = 1;                /* its run */
bool subscribed = true;
bool queued = true;
byte label = 1;                 /* the run in the lease, 0: none */
byte mark = NONE;               /* its age */
bool marked = false;            /* there was one: an old copy of the data has it */
byte unlooked = 0;              /* ticks without a look */

/* The owner, and what it knows. */
bool dead = false;
byte ended = 0;                 /* ticks since then */
bool told = false;
bool reach = true;              /* scripts are answered */
bool listening = true;
bool shown = true;              /* a script was answered on this connection */
byte known = 1;                 /* the run that has seen the connection, 0: not known */
byte last = 0;                  /* ticks since the last sign */
byte asked = NONE;              /* ticks since the ping that is not answered */
byte since = 0;                 /* ticks since the last that was */
byte ask = 0;

inline sign() {
	if
	:: reach ->
		if
		:: !queued -> told = true
		:: else
		fi;
#ifndef NOSIGN
		mark = NONE;
#endif
		if
		:: queued && known > 0 -> label = known
		:: else
		fi;
		last = 0;
		shown = listening
	:: else
	fi
}

inline hear() {
	listening = false;
	shown = false;
	known = 0;
	asked = NONE;
	ask = 0;
	sign()
}

/* pong is the answer to a ping that was sent so many ticks ago. */
inline pong(ago) {
	if
#ifdef PINGCOUNTS
	:: ago < last -> last = ago
#else
	:: shown && ago < last -> last = ago
#endif
	:: else
	fi;
	since = ago;
	asked = NONE
}

inline act() {
	if
	:: last < GIVEUP -> last++
	:: else
	fi;
	if
	:: !listening ->
		ask++;
		if
		:: ask == ASK -> ask = 0; sign()
		:: else
		fi;
		if
		:: subscribed = true; listening = true; known = (reach -> server : 0); since = 0; ask = ASK - 1
		:: true
		fi
	:: listening && asked == NONE ->
		since++;
		if
		:: since >= PING && subscribed -> pong(0)
		:: since >= PING -> asked = 0
		:: since < PING
		fi
	:: listening && asked != NONE ->
		if
		:: asked < GIVEUP -> asked++
		:: else
		fi;
		if
		:: subscribed -> pong(asked)
		:: true ->
			if
			:: asked >= SILENT -> sign()
			:: else
			fi;
			if
			:: asked >= CLOSE && last < asked -> subscribed = false; hear()
			:: else
			fi
		fi
	fi;
	if
	:: listening && !shown ->
		ask++;
		if
		:: ask >= ASK ->
			ask = 0;
			if
			:: known == 0 && reach && subscribed -> known = server
			:: else
			fi;
			sign()
		:: else
		fi
	:: else
	fi;
#ifndef NOOWNER
	if
	:: !shown && last >= GIVEUP -> told = true
	:: else
	fi
#endif
}

inline look() {
	unlooked = 0;
	if
#ifdef NORUN
	:: queued && !subscribed && label > 0 ->
#else
	:: queued && !subscribed && label == server ->
#endif
		if
#ifndef ONELOOK
		:: mark == NONE -> mark = 0; marked = true
		:: mark != NONE && mark < GRACE ->
#ifdef UNMARK
			mark = NONE
#else
			skip
#endif
		:: mark != NONE && mark >= GRACE ->
#else
		:: true ->
#endif
			assert(told || dead);
			queued = false
		fi
	:: else
	fi
}

/* happen is what may go wrong between two steps. */
inline happen() {
	if
	:: true
	:: faults > 0 && subscribed -> faults--; subscribed = false
	:: !subscribed && listening && !dead -> hear()
	:: faults > 0 -> faults--; reach = !reach
	:: faults > 0 && !dead -> faults--; dead = true; subscribed = false
	:: faults > 0 && server == 1 ->
		faults--;
		server = 2;
		subscribed = false;
		ended = 0;
		if
		:: marked -> mark = GRACE
		:: true
		fi
	:: faults > 0 -> faults--; queued = false
	:: faults > 0 && mark != NONE -> faults--; mark = NONE; ended = 0
	fi;
#ifndef DEAF
	if
	:: !subscribed && listening && !reach && !dead -> hear()
	:: else
	fi
#endif
}

active proctype world() {
	do
	:: atomic {
		if
		:: mark < GRACE -> mark++
		:: else
		fi;
		unlooked++;
		if
		:: dead && queued && label == server -> ended++
		:: else
		fi;
		assert(ended <= GRACE + GRACE / 2)
	   };
	   atomic { happen() };
	   if
	   :: atomic { look() }
	   :: atomic { unlooked < 2 }
	   fi;
	   atomic {
		if
		:: !dead && !told -> act()
		:: else
		fi
	   };
	   atomic { happen() };
	   if
	   :: atomic { look() }
	   :: atomic { unlooked < 2 }
	   fi
	od
}
