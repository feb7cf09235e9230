/*
 * linux-vdso.so.1: the clock calls that a guest makes without leaving its virtual machine.
 *
 * The page right before this image (`struct vvar`) is written by the host while the vCPU stands
 * still. A clock is  base + ((rdtsc - tsc_base) * multiplier >> shift).  Whatever cannot be
 * answered from that page goes to the system call, so a program sees the same results either way.
 *
 * No relocations, no writable data, no calls out: the image is mapped as it is.
 */

typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
typedef unsigned __int128 u128;

struct timespec { i64 seconds; i64 nanoseconds; };
struct timeval { i64 seconds; i64 microseconds; };
struct timezone { int minutes_west; int dst_time; };

/* The host's side of this layout is in the engine; the offsets are asserted below. */
struct vvar {
	volatile u32 sequence;      /* odd while being written */
	volatile u32 shift;
	volatile u64 tsc_base;
	volatile u64 multiplier;
	volatile u64 realtime;      /* nanoseconds since the epoch at tsc_base */
	volatile u64 monotonic;     /* nanoseconds at tsc_base */
	volatile u32 valid;         /* 0: there is no usable TSC */
};
_Static_assert(__builtin_offsetof(struct vvar, shift) == 4, "shift");
_Static_assert(__builtin_offsetof(struct vvar, tsc_base) == 8, "tsc_base");
_Static_assert(__builtin_offsetof(struct vvar, multiplier) == 16, "multiplier");
_Static_assert(__builtin_offsetof(struct vvar, realtime) == 24, "realtime");
_Static_assert(__builtin_offsetof(struct vvar, monotonic) == 32, "monotonic");
_Static_assert(__builtin_offsetof(struct vvar, valid) == 40, "valid");

#define NANOSECONDS 1000000000UL
/* A writer is never seen for long: the vCPU stands still while the host writes. */
#define READ_ATTEMPTS 1000

/* The page before this image, whose first byte the linker calls __ehdr_start. */
static inline const struct vvar *clock_page(void)
{
	const struct vvar *page;
	__asm__(".hidden __ehdr_start\n\tlea __ehdr_start - 4096(%%rip), %0" : "=r"(page));
	return page;
}

/* Clock numbers and system calls: linux/time.h, asm/unistd_64.h. */
enum clock {
	CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7,
};
enum { CALL_GETTIMEOFDAY = 96, CALL_TIME = 201, CALL_CLOCK_GETTIME = 228, CALL_CLOCK_GETRES = 229 };

static inline long system_call(long number, long first, long second)
{
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(first), "S"(second)
			 : "rcx", "r11", "memory");
	return result;
}

/* Reads the counter after all earlier loads: the sequence was looked at before. */
static inline u64 read_counter(void)
{
	u32 low, high;
	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

/* x86 keeps loads in order; only the compiler must be held back. */
static inline void load_barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

/* True and the time in *result, or false if the host must be asked. */
static inline int read_clock(int realtime, u64 *result)
{
	const struct vvar *page = clock_page();

	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
		u32 sequence = page->sequence;
		load_barrier();
		if (sequence & 1) {
			__asm__ volatile("pause");
			continue;
		}
		if (!page->valid)
			return 0;
		i64 ticks = (i64)(read_counter() - page->tsc_base);
		u64 base = realtime ? page->realtime : page->monotonic;
		u64 multiplier = page->multiplier;
		u32 shift = page->shift;
		load_barrier();
		if (page->sequence != sequence)
			continue;
		/* Another core's counter may be a little behind the one that wrote the base. */
		if (ticks < 0)
			ticks = 0;
		*result = base + (u64)((u128)(u64)ticks * multiplier >> (shift & 127));
		return 1;
	}
	return 0;
}

int __vdso_clock_gettime(int clock, struct timespec *time)
{
	u64 now;
	int realtime;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		realtime = 1;
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
		realtime = 0;
		break;
	default:
		return system_call(CALL_CLOCK_GETTIME, clock, (long)time);
	}
	if (!read_clock(realtime, &now))
		return system_call(CALL_CLOCK_GETTIME, clock, (long)time);
	time->seconds = now / NANOSECONDS;
	time->nanoseconds = now % NANOSECONDS;
	return 0;
}

int __vdso_gettimeofday(struct timeval *time, struct timezone *zone)
{
	u64 now;

	if (!read_clock(1, &now))
		return system_call(CALL_GETTIMEOFDAY, (long)time, (long)zone);
	if (time) {
		time->seconds = now / NANOSECONDS;
		time->microseconds = now % NANOSECONDS / 1000;
	}
	if (zone) {
		zone->minutes_west = 0;
		zone->dst_time = 0;
	}
	return 0;
}

i64 __vdso_time(i64 *result)
{
	u64 now;

	if (!read_clock(1, &now))
		return system_call(CALL_TIME, (long)result, 0);
	i64 seconds = now / NANOSECONDS;
	if (result)
		*result = seconds;
	return seconds;
}

int __vdso_clock_getres(int clock, struct timespec *resolution)
{
	/* Asked once in a program's life, if at all. */
	return system_call(CALL_CLOCK_GETRES, clock, (long)resolution);
}

/* The personality shows one processor (sched_getaffinity, getcpu). */
long __vdso_getcpu(u32 *processor, u32 *node, void *unused)
{
	(void)unused;
	if (processor)
		*processor = 0;
	if (node)
		*node = 0;
	return 0;
}

/* The names without the prefix are weak aliases, as in the kernel's own image. */
int clock_gettime(int, struct timespec *) __attribute__((weak, alias("__vdso_clock_gettime")));
int gettimeofday(struct timeval *, struct timezone *)
	__attribute__((weak, alias("__vdso_gettimeofday")));
i64 time(i64 *) __attribute__((weak, alias("__vdso_time")));
int clock_getres(int, struct timespec *) __attribute__((weak, alias("__vdso_clock_getres")));
long getcpu(u32 *, u32 *, void *) __attribute__((weak, alias("__vdso_getcpu")));
