// clock.c is preloaded into a program to set its wall clock, and no other
// clock, by so many seconds as the file CLOCK_FILE says: a long, which may be
// changed at any time. (libfaketime does that too, but not in a program with
// jemalloc, which asks for the time before it can allocate.)
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset;

__attribute__((constructor)) static void begin(void)
{
	int file = open(getenv("CLOCK_FILE"), O_RDONLY);
	void *map = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
	if (map == MAP_FAILED)
		abort();
	offset = map;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = syscall(SYS_clock_gettime, clock, now);
	if (!failed && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec t;
	int failed = clock_gettime(CLOCK_REALTIME, &t);
	if (!failed) {
		now->tv_sec = t.tv_sec;
		now->tv_usec = t.tv_nsec / 1000;
	}
	return failed;
}

time_t time(time_t *now)
{
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t))
		return -1;
	if (now)
		*now = t.tv_sec;
	return t.tv_sec;
}
