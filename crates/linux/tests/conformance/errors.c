/* One case per call: what it answers to wrong descriptors, pointers, flags and lengths. */
#define IN_DIRECTORY
#include "case.h"
#include <sys/epoll.h>
#include <sys/resource.h>

/* Arguments that are told apart by these values. */
#define BAD 0x6666000000 /* nothing is mapped there */
#define KERNEL -4096L    /* an address of the kernel's */
#define ROOM -7001L      /* zeroed memory */
#define PATH -7002L      /* the name of a file that is there */
#define PIPE -7003L      /* the reading end of a pipe */
#define WRITER -7004L    /* its writing end */
#define FILE_ -7005L     /* a descriptor of that file */
#define DIRECTORY -7006L /* a descriptor of the directory */

static long room[1024];
static int ends[2], file, directory;

static long resolve(long argument)
{
	switch (argument) {
	case ROOM: return (long)memset(room, 0, sizeof room);
	case PATH: return (long)"file";
	case PIPE: return ends[0];
	case WRITER: return ends[1];
	case FILE_: return file;
	case DIRECTORY: return directory;
	default: return argument;
	}
}

static void table(long number, const long (*rows)[6], int count)
{
	file = open("file", O_RDWR | O_CREAT, 0644);
	directory = open(".", O_RDONLY | O_DIRECTORY);
	if (pipe2(ends, O_NONBLOCK))
		SAY("no pipe");
	for (int i = 0; i < count; i++) {
		long a[6];
		for (int j = 0; j < 6; j++)
			a[j] = resolve(rows[i][j]);
		errno = 0;
		long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
		SAY("row %d: %s", i + 1, result == -1 ? error_name(errno) : "works");
	}
}

#define CALL(name, ...) \
	CASE(name) \
	{ \
		static const long rows[][6] = {__VA_ARGS__}; \
		table(SYS_##name, rows, sizeof rows / sizeof *rows); \
	}

CALL(read, {-1, ROOM, 1}, {NO_FD, ROOM, 1}, {PIPE, ROOM, 1}, {WRITER, ROOM, 1}, {DIRECTORY, ROOM, 1}, {FILE_, BAD, 1}, {FILE_, KERNEL, 1}, {FILE_, ROOM, -1})
CALL(write, {-1, ROOM, 1}, {NO_FD, ROOM, 1}, {PIPE, ROOM, 1}, {WRITER, BAD, 1}, {WRITER, KERNEL, 1}, {DIRECTORY, ROOM, 1}, {FILE_, BAD, 1}, {FILE_, BAD, 0}, {FILE_, ROOM, -1})
CALL(open, {BAD, 0}, {KERNEL, 0}, {PATH, O_CREAT | O_EXCL | O_RDWR, 0644}, {PATH, O_DIRECTORY}, {0, 0})
CALL(openat, {NO_FD, PATH, 0}, {DIRECTORY, PATH, 0}, {FILE_, PATH, 0}, {DIRECTORY, BAD, 0}, {-100, PATH, 0})
CALL(close, {-1}, {NO_FD}, {PIPE}, {PIPE}, {0x7fffffff})
CALL(stat, {PATH, BAD}, {BAD, ROOM}, {PATH, KERNEL}, {ROOM, ROOM})
CALL(fstat, {NO_FD, ROOM}, {PIPE, BAD}, {FILE_, KERNEL}, {FILE_, 0})
CALL(lstat, {PATH, BAD}, {BAD, ROOM}, {ROOM, ROOM})
CALL(poll, {BAD, 1, 0}, {ROOM, 1, 0}, {ROOM, -1, 0}, {0, 0, 0})
CALL(lseek, {NO_FD, 0, 0}, {PIPE, 0, 0}, {FILE_, -1, 0}, {FILE_, 0, 99}, {DIRECTORY, 0, 0})
CALL(rt_sigpending, {BAD, 8}, {ROOM, 128}, {ROOM, 8})
CALL(ioctl, {NO_FD, 0x5401, ROOM}, {PIPE, 0x541b, BAD}, {PIPE, 0x5401, ROOM}, {FILE_, 0x5401, ROOM}, {PIPE, 0x7777, ROOM}, {FILE_, 0x541b, ROOM}, {PIPE, 0x5421, BAD})
CALL(pread64, {NO_FD, ROOM, 1, 0}, {PIPE, ROOM, 1, 0}, {FILE_, ROOM, 1, -1}, {DIRECTORY, ROOM, 1, 0}, {WRITER, ROOM, 1, 0})
CALL(pwrite64, {NO_FD, ROOM, 1, 0}, {WRITER, ROOM, 1, 0}, {FILE_, ROOM, 1, -1}, {FILE_, BAD, 1, 0}, {DIRECTORY, ROOM, 1, 0})
CALL(readv, {NO_FD, ROOM, 1}, {FILE_, BAD, 1}, {FILE_, ROOM, -1}, {FILE_, ROOM, 1025}, {FILE_, ROOM, 2})
CALL(writev, {NO_FD, ROOM, 1}, {FILE_, BAD, 1}, {FILE_, ROOM, -1}, {FILE_, ROOM, 1025}, {FILE_, ROOM, 2})
CALL(access, {PATH, 0}, {BAD, 0}, {PATH, 8}, {ROOM, 0})
CALL(pipe, {BAD}, {KERNEL}, {0})
CALL(pipe2, {ROOM, 1}, {BAD, 0}, {ROOM, O_CREAT})
CALL(select, {-1, 0, 0, 0, ROOM}, {1, BAD, 0, 0, ROOM}, {0, 0, 0, 0, BAD}, {0, 0, 0, 0, ROOM})
CALL(dup, {-1}, {NO_FD})
CALL(dup2, {NO_FD, 5}, {PIPE, -1}, {PIPE, 0x7fffffff})
CALL(dup3, {PIPE, PIPE, 0}, {PIPE, 40, 7}, {NO_FD, 40, 0})
CALL(nanosleep, {BAD, 0}, {ROOM, 0}, {0, 0})
CALL(getitimer, {0, BAD}, {5, ROOM}, {-1, ROOM})
CALL(sendfile, {NO_FD, FILE_, 0, 1}, {FILE_, NO_FD, 0, 1}, {WRITER, FILE_, BAD, 1}, {PIPE, FILE_, 0, 1}, {WRITER, PIPE, 0, 1}, {WRITER, DIRECTORY, 0, 1})
CALL(socketpair, {99, 1, 0, ROOM}, {1, 99, 0, ROOM}, {1, 1, 0, BAD}, {1, 1, 99, ROOM})
CALL(sendto, {NO_FD, ROOM, 1, 0, 0, 0}, {PIPE, ROOM, 1, 0, 0, 0})
CALL(recvfrom, {NO_FD, ROOM, 1, 0, 0, 0}, {PIPE, ROOM, 1, 0, 0, 0})
CALL(sendmsg, {NO_FD, ROOM, 0}, {PIPE, ROOM, 0})
CALL(recvmsg, {NO_FD, ROOM, 0}, {PIPE, ROOM, 0})
CALL(shutdown, {NO_FD, 0}, {PIPE, 0})
CALL(getsockname, {NO_FD, ROOM, ROOM}, {PIPE, ROOM, ROOM})
CALL(setsockopt, {NO_FD, 1, 2, ROOM, 4}, {PIPE, 1, 2, ROOM, 4})
CALL(listen, {NO_FD, 1}, {PIPE, 1})
CALL(accept, {NO_FD, 0, 0}, {PIPE, 0, 0})
CALL(connect, {NO_FD, ROOM, 2}, {PIPE, ROOM, 16})
CALL(bind, {NO_FD, ROOM, 2}, {PIPE, ROOM, 16})
CALL(uname, {BAD}, {KERNEL}, {0}, {ROOM})
CALL(fcntl, {NO_FD, 1}, {PIPE, 999}, {PIPE, F_DUPFD, -1}, {FILE_, F_SETLK, BAD}, {FILE_, F_GETLK, ROOM}, {PIPE, F_SETFL, 0})
CALL(flock, {NO_FD, 2}, {FILE_, 2})
CALL(fsync, {NO_FD}, {PIPE}, {FILE_}, {DIRECTORY})
CALL(truncate, {PATH, -1}, {BAD, 0}, {ROOM, 0}, {PATH, 0})
CALL(ftruncate, {NO_FD, 0}, {PIPE, 0}, {FILE_, -1}, {DIRECTORY, 0}, {FILE_, 5})
CALL(getdents64, {NO_FD, ROOM, 1000}, {FILE_, ROOM, 1000}, {DIRECTORY, BAD, 1000}, {DIRECTORY, ROOM, 1})
CALL(getcwd, {BAD, 1000}, {ROOM, 1}, {ROOM, 4096}, {0, 0})
CALL(chdir, {BAD}, {PATH}, {ROOM})
CALL(fchdir, {NO_FD}, {FILE_}, {PIPE}, {DIRECTORY})
CALL(rename, {BAD, PATH}, {PATH, BAD}, {ROOM, PATH}, {PATH, ROOM})
CALL(mkdir, {BAD, 0755}, {PATH, 0755}, {ROOM, 0755})
CALL(rmdir, {BAD}, {PATH}, {ROOM})
CALL(link, {BAD, PATH}, {PATH, PATH}, {PATH, BAD}, {ROOM, PATH})
CALL(unlink, {BAD}, {ROOM}, {PATH}, {PATH})
CALL(symlink, {BAD, PATH}, {PATH, PATH}, {PATH, BAD})
CALL(readlink, {BAD, ROOM, 10}, {PATH, ROOM, 10}, {PATH, ROOM, 0}, {PATH, ROOM, -1})
CALL(chmod, {BAD, 0644}, {ROOM, 0644}, {PATH, 0644})
CALL(fchmod, {NO_FD, 0644}, {FILE_, 0644})
CALL(fchmodat, {NO_FD, PATH, 0644}, {DIRECTORY, PATH, 0644}, {FILE_, PATH, 0644})
CALL(gettimeofday, {BAD, 0}, {0, 0}, {0, BAD}, {ROOM, ROOM})
CALL(getrlimit, {99, ROOM}, {7, BAD}, {7, ROOM})
CALL(setrlimit, {99, ROOM}, {7, BAD})
CALL(prlimit64, {0, 99, 0, ROOM}, {0, 7, BAD, 0}, {0, 7, 0, BAD}, {0x3fffff, 7, 0, ROOM})
CALL(getrusage, {0, BAD}, {99, ROOM}, {0, ROOM})
CALL(sysinfo, {BAD}, {ROOM})
CALL(times, {BAD}, {0})
CALL(getgroups, {-1, ROOM})
CALL(getresuid, {BAD, ROOM, ROOM}, {ROOM, BAD, ROOM}, {ROOM, ROOM, ROOM})
CALL(getpgid, {0x3fffff}, {0})
CALL(getsid, {0x3fffff})
CALL(getpriority, {0, 0}, {9, 0}, {0, 0x3fffff})
CALL(sigaltstack, {BAD, 0}, {0, BAD}, {0, ROOM})
CALL(rt_sigtimedwait, {BAD, 0, 0, 8}, {ROOM, 0, BAD, 8}, {ROOM, 0, ROOM, 4}, {ROOM, 0, ROOM, 8})
CALL(statfs, {BAD, ROOM}, {PATH, BAD}, {ROOM, ROOM}, {PATH, ROOM})
CALL(fstatfs, {NO_FD, ROOM}, {FILE_, BAD}, {FILE_, ROOM})
CALL(sched_getparam, {0, BAD}, {0, 0}, {0x3fffff, ROOM}, {0, ROOM})
CALL(sched_getscheduler, {0}, {-1}, {0x3fffff})
CALL(sched_get_priority_max, {0}, {1}, {99})
CALL(sched_setaffinity, {0, 8, BAD}, {0, 8, ROOM}, {0x3fffff, 8, ROOM})
CALL(sched_getaffinity, {0, 7, ROOM}, {0, 8192, BAD}, {0, 8192, ROOM}, {0x3fffff, 8192, ROOM})
CALL(prctl, {15, BAD}, {16, BAD}, {9999, 0}, {38, 0}, {38, 1, 1}, {39, 1}, {1, 99})
CALL(arch_prctl, {0x1003, BAD}, {0x1003, ROOM}, {0x7777, 0}, {0x1001, -1})
CALL(time, {BAD}, {0}, {ROOM})
CALL(futex, {BAD, 0, 0, 0}, {1, 0, 0, 0}, {ROOM, 0, 1, 0}, {ROOM, 1, 5, 0}, {ROOM, 99, 0, 0}, {ROOM, 9, 0, 0, 0, 0}, {ROOM, 0, 0, BAD}, {BAD, 1, 1})
CALL(set_robust_list, {ROOM, 1}, {ROOM, 24})
CALL(get_robust_list, {0, BAD, ROOM}, {0, ROOM, ROOM}, {0x3fffff, ROOM, ROOM})
CALL(clock_gettime, {0, BAD}, {99, ROOM}, {1, KERNEL}, {1, ROOM})
CALL(clock_getres, {0, BAD}, {99, ROOM}, {1, 0})
CALL(clock_nanosleep, {0, 0, BAD, 0}, {99, 0, ROOM, 0}, {1, 0, ROOM, 0}, {3, 0, ROOM, 0})
CALL(epoll_create1, {1})
CALL(epoll_ctl, {NO_FD, 1, PIPE, ROOM}, {PIPE, 1, WRITER, ROOM})
CALL(epoll_wait, {NO_FD, ROOM, 1, 0}, {PIPE, ROOM, 1, 0})
CALL(tgkill, {0, 0, 0}, {-1, 1, 0}, {0x3fffff, 0x3fffff, 0})
CALL(utimensat, {NO_FD, PATH, 0, 0}, {-100, BAD, 0, 0}, {-100, PATH, BAD, 0}, {-100, PATH, 0, 0x77}, {DIRECTORY, PATH, 0, 0})
CALL(mkdirat, {NO_FD, PATH, 0755}, {DIRECTORY, PATH, 0755}, {FILE_, PATH, 0755})
CALL(newfstatat, {NO_FD, PATH, ROOM, 0}, {DIRECTORY, PATH, BAD, 0}, {DIRECTORY, PATH, ROOM, 0x7777}, {FILE_, PATH, ROOM, 0})
CALL(unlinkat, {NO_FD, PATH, 0}, {DIRECTORY, PATH, 0x200}, {DIRECTORY, PATH, 7}, {DIRECTORY, PATH, 0})
CALL(renameat2, {NO_FD, PATH, -100, PATH, 0}, {-100, PATH, NO_FD, PATH, 0}, {-100, PATH, -100, PATH, 99})
CALL(linkat, {NO_FD, PATH, -100, PATH, 0}, {-100, PATH, -100, PATH, 0x77}, {-100, PATH, -100, PATH, 0})
CALL(readlinkat, {NO_FD, PATH, ROOM, 10}, {DIRECTORY, PATH, ROOM, 10}, {DIRECTORY, BAD, ROOM, 10})
CALL(faccessat, {NO_FD, PATH, 0}, {DIRECTORY, PATH, 9}, {FILE_, PATH, 0})
CALL(ppoll, {BAD, 1, ROOM, 0, 8}, {ROOM, 1, BAD, 0, 8}, {ROOM, 1, ROOM, BAD, 8}, {ROOM, 1, ROOM, ROOM, 3})
CALL(splice, {NO_FD, 0, WRITER, 0, 1, 0}, {FILE_, 0, FILE_, 0, 1, 0}, {PIPE, 0, FILE_, 0, 1, 99})
CALL(timerfd_create, {0, 1}, {99, 0})
CALL(timerfd_settime, {NO_FD, 0, ROOM, 0}, {PIPE, 0, ROOM, 0})
CALL(eventfd2, {0, 1})
CALL(signalfd4, {-1, ROOM, 8, 99}, {-1, BAD, 8, 0}, {-1, ROOM, 4, 0}, {PIPE, ROOM, 8, 0})
CALL(fallocate, {NO_FD, 0, 0, 1}, {FILE_, 0, -1, 1}, {FILE_, 0, 0, 0}, {PIPE, 0, 0, 1})
CALL(getcpu, {BAD, 0}, {0, BAD}, {0, 0}, {ROOM, ROOM})
CALL(getrandom, {BAD, 1, 0}, {ROOM, 1, 99}, {ROOM, 1, 6}, {ROOM, 100, 1}, {BAD, 0, 0})
CALL(memfd_create, {BAD, 0}, {PATH, 0x7700})
CALL(statx, {NO_FD, PATH, 0, 0x7ff, ROOM}, {DIRECTORY, PATH, 0, 0x7ff, BAD}, {DIRECTORY, PATH, 0x7777, 0x7ff, ROOM}, {DIRECTORY, PATH, 0, 0x80000000, ROOM}, {DIRECTORY, BAD, 0, 0x7ff, ROOM})
CALL(copy_file_range, {NO_FD, 0, FILE_, 0, 1, 0}, {FILE_, BAD, FILE_, 0, 1, 0}, {PIPE, 0, FILE_, 0, 1, 0}, {DIRECTORY, 0, FILE_, 0, 1, 0})
CALL(wait4, {-1, 0, 0, 0}, {-1, 0, 1, 0}, {0x3fffff, 0, 0, 0}, {-1, 0, 0x7777, 0})
CALL(close_range, {9, 8, 0}, {800, 900, 0x77}, {800, 900, 0})
