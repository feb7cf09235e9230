// Makes the host hold as much as it lets: of the kind that the URL names, over and over until that
// is refused, and says how often it went well and what the refusal was.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <tinykvm.h>
#include <unistd.h>

static char block[1 << 20];
static int ends[2];
static int at = -1;

// Each makes one more; 0 or more is success, and negative the end, with errno.
static long memory_file(long n)
{
	if (n == 0)
		at = memfd_create("a", 0);
	return pwrite(at, block, 65536, n * 65536);
}
static long sparse_file(long n)
{
	if (n == 0)
		at = memfd_create("a", 0);
	return pwrite(at, "x", 1, n * 8192);
}
static long memory_files(long n) { return memfd_create("a", 0); }
static long full(int fd, const void *data, size_t length)
{
	long done;
	while ((done = write(fd, data, length)) > 0)
		;
	return errno == EAGAIN ? 0 : -1;
}
static long pipes(long n) { return pipe(ends) ? -1 : 0; }
static long large_pipes(long n)
{
	if (pipe2(ends, O_NONBLOCK))
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	return full(ends[1], block, sizeof block);
}
static long packets(long n)
{
	if (pipe2(ends, O_NONBLOCK | O_DIRECT))
		return -1;
	return full(ends[1], "x", 1);
}
// A page that grows by a byte must not take two.
static long odd_pages(long n)
{
	if (n % 256 == 0) {
		if (pipe2(ends, O_NONBLOCK))
			return -1;
		fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	}
	if (write(ends[1], block, 4095) < 0 || write(ends[1], block, 1) < 0)
		return -1;
	return 0;
}
// Room that was used once, and is not any more.
static long drained_pipes(long n)
{
	if (pipe2(ends, O_NONBLOCK))
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	long result = full(ends[1], block, sizeof block);
	int error = errno;
	while (read(ends[0], block, sizeof block) > 0)
		;
	fcntl(ends[1], F_SETPIPE_SZ, 4096);
	errno = error;
	return result;
}
static long pair(int type, size_t length)
{
	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends))
		return -1;
	if (full(ends[0], block, length))
		return -1;
	return full(ends[1], block, length);
}
static long streams(long n) { return pair(SOCK_STREAM, 65536); }
static long datagrams(long n) { return pair(SOCK_DGRAM, 1); }
static long records(long n) { return pair(SOCK_SEQPACKET, 4000); }
static long passed(long n)
{
	static char control[CMSG_SPACE(253 * 4)];
	struct iovec part = { "x", 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends))
		return -1;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(253 * 4);
	for (int i = 0; i < 253; i++)
		((int *)CMSG_DATA(header))[i] = ends[0];
	while (sendmsg(ends[0], &message, 0) > 0)
		;
	return errno == EAGAIN ? 0 : -1;
}
static long sockets(long n)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 1 << 24;
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	return 0;
}
static long events(long n) { return eventfd(0, 0); }
static long clocks(long n)
{
	struct itimerspec soon = { { 0, 1000000 }, { 0, 1000000 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	return fd < 0 ? fd : timerfd_settime(fd, 0, &soon, 0);
}
static long signal_sets(long n)
{
	sigset_t all;
	sigfillset(&all);
	return signalfd(-1, &all, 0);
}
static long watches(long n)
{
	struct epoll_event event = { EPOLLIN, { 0 } };
	if (n == 0)
		for (int i = 0; i < 500; i++)
			eventfd(0, 0);
	if (n % 400 == 0 && (at = epoll_create1(0)) < 0)
		return -1;
	return epoll_ctl(at, EPOLL_CTL_ADD, 10 + n % 400, &event);
}
static long queued(long n)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, 0);
	return sigqueue(getpid(), SIGRTMIN + 3 + n % 20, (union sigval){ 0 });
}
static long timers(long n)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	timer_t timer;
	return timer_create(CLOCK_MONOTONIC, &none, &timer);
}
static void *waits(void *fds)
{
	poll(fds, 1000, -1);
	return 0;
}
static long threads(long n)
{
	static struct pollfd fds[1000];
	pthread_attr_t small;
	pthread_t thread;
	if (n == 0) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		for (int i = 0; i < 1000; i++)
			fds[i] = (struct pollfd){ fd, POLLIN, 0 };
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	errno = pthread_create(&thread, &small, waits, fds);
	sched_yield();
	return errno ? -1 : 0;
}
static long locks(long n)
{
	struct flock lock = { F_WRLCK, SEEK_SET, n * 2, 1, 0 };
	if (n == 0)
		at = open("/granted/locked", O_RDWR | O_CREAT, 0600);
	return fcntl(at, F_SETLK, &lock);
}
static long texts(long n) { return open("/proc/self/maps", O_RDONLY); }
static long listings(long n) { return open("/", O_RDONLY | O_DIRECTORY); }
static long files(long n) { return open("/granted/file", O_RDONLY | O_CREAT, 0600); }
static long long_paths(long n)
{
	static char path[4000];
	memset(path, '/', sizeof path - 1);
	memcpy(path, "/granted", 8);
	memcpy(path + sizeof path - 5, "file", 4);
	return open(path, O_RDONLY | O_CREAT, 0600);
}
static long descriptors(long n) { return dup(1); }
// Each other page has other rights: none is one area with its neighbour.
static long areas(long n)
{
	static char *place;
	if (n == 0)
		place = mmap(0, 140000l << 12, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return mprotect(place + (n << 13), 4096, PROT_READ);
}
static long mappings(long n)
{
	char *place = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (place == MAP_FAILED)
		return -1;
	memset(place, 1, 1 << 20);
	return 0;
}
static long heap(long n)
{
	void *place = sbrk(1 << 20);
	if (place == (void *)-1)
		return -1;
	memset(place, 1, 1 << 20);
	return 0;
}
static long output(long n)
{
	errno = ENOSPC;
	return write(1 + n % 2, block, 65536) > 0 && n < 200 ? 0 : -1;
}
static long lines(long n)
{
	errno = ENOSPC;
	sys_log("a line of the log", 17);
	return n < 2000 ? 0 : -1;
}
static long names(long n)
{
	char path[64];
	snprintf(path, sizeof path, "/not/there/%ld", n);
	open(path, O_RDONLY);
	errno = ENOSPC;
	return n < 2000 ? 0 : -1;
}
static long fields(long n)
{
	char field[4000];
	memset(field, 'x', sizeof field);
	snprintf(field, sizeof field, "X-%ld: y", n);
	errno = ENOSPC;
	return http_append(TINYKVM_RESPONSE, field, strlen(field)) >= 0 && n < 2000 ? 0 : -1;
}
// Copies of what was there at the freeze.
static int frozen[2], frozen_file;
static long copies(long n)
{
	if (n == 0 && read(frozen[0], block, 1) != 1)
		return -1;
	return pwrite(frozen_file, "y", 1, n * 4096);
}
// Guest and host in turn.
static long both(long n)
{
	static char own[64 << 20];
	if (n == 0)
		at = memfd_create("a", 0);
	memset(own + n * 16384, 1, 16384);
	return pwrite(at, block, 16384, n * 16384);
}

static const struct {
	const char *name;
	long (*more)(long);
} kinds[] = {
#define KIND(name) { #name, name }
	KIND(memory_file), KIND(sparse_file), KIND(memory_files), KIND(pipes), KIND(large_pipes), KIND(packets), KIND(odd_pages),
	KIND(drained_pipes), KIND(streams), KIND(datagrams), KIND(records), KIND(passed), KIND(sockets), KIND(events), KIND(clocks),
	KIND(signal_sets), KIND(watches), KIND(queued), KIND(timers), KIND(threads), KIND(locks), KIND(texts), KIND(listings),
	KIND(files), KIND(long_paths), KIND(descriptors), KIND(areas), KIND(mappings), KIND(heap), KIND(output), KIND(lines),
	KIND(names), KIND(fields), KIND(copies), KIND(both),
};

static void get(const char *url, const char *arg)
{
	char text[100] = "nothing";
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].name, url + 1))
			continue;
		long n = 0;
		while (n < 1000000 && kinds[i].more(n) >= 0)
			n++;
		snprintf(text, sizeof text, "%ld %s", n, strerrorname_np(errno));
	}
	backend_response_str(200, "text/plain", text);
}

int main(void)
{
	pipe2(frozen, O_NONBLOCK);
	fcntl(frozen[1], F_SETPIPE_SZ, 1 << 20);
	write(frozen[1], block, 1 << 20);
	frozen_file = memfd_create("a", 0);
	for (int i = 0; i < 8; i++)
		write(frozen_file, block, 1 << 20);
	set_backend_get(get);
	wait_for_requests();
}
