/* Pipes, eventfds, socket pairs, memory files, and descriptors as such. */
#include "case.h"
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static int ends[2];
static char buffer[200000];

static void *write_later(void *argument)
{
	sleep_ms(20);
	ssize_t count = write(ends[1], argument, strlen(argument));
	return (void *)count;
}

CASE(pipe_carries_bytes)
{
	SHOW(pipe(ends));
	SHOW(write(ends[1], "hello", 5));
	SHOW(write(ends[1], " there", 6));
	SHOW(read(ends[0], buffer, 7));
	SHOW(read(ends[0], buffer, 100));
	SAY("%.4s", buffer);
	SHOW(read(ends[0], buffer, 0));
	SHOW(write(ends[1], buffer, 0));
	SHOW(write(ends[0], "x", 1));
	SHOW(read(ends[1], buffer, 1));
}

CASE(pipe_ends)
{
	TRY(pipe(ends));
	SHOW(write(ends[1], "rest", 4));
	SHOW(close(ends[1]));
	SHOW(read(ends[0], buffer, 100));
	SHOW(read(ends[0], buffer, 100));
	signal(SIGPIPE, SIG_IGN);
	TRY(pipe(ends));
	SHOW(close(ends[0]));
	SHOW(write(ends[1], "x", 1));
	signal(SIGPIPE, SIG_DFL);
	SHOW(write(ends[1], "x", 1));
	SAY("never here");
}

CASE(pipe_blocks_until_written)
{
	TRY(pipe(ends));
	pthread_t thread = start(write_later, "late");
	SHOW(read(ends[0], buffer, 100));
	pthread_join(thread, NULL);
}

static void *read_all(void *argument)
{
	long sum = 0;
	for (;;) {
		ssize_t count = read(ends[0], buffer, 3000);
		if (count <= 0)
			return (void *)sum;
		sum += count;
		if (sum % 7 == 0)
			sched_yield();
	}
}

CASE(pipe_blocks_when_full)
{
	static char data[300000];
	void *sum;
	TRY(pipe(ends));
	pthread_t thread = start(read_all, NULL);
	SHOW(write(ends[1], data, sizeof data));
	close(ends[1]);
	pthread_join(thread, &sum);
	SAY("%ld", (long)sum);
}

static void *close_later(void *argument)
{
	sleep_ms(20);
	close((int)(long)argument);
	return NULL;
}

CASE(pipe_reader_sees_the_end)
{
	TRY(pipe(ends));
	pthread_t thread = start(close_later, (void *)(long)ends[1]);
	SHOW(read(ends[0], buffer, 1));
	pthread_join(thread, NULL);
}

CASE(pipe_without_blocking)
{
	SHOW(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
	SHOW(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
	SHOW(fcntl(ends[0], F_GETFD));
	SHOW(fcntl(ends[0], F_GETFL) & O_ACCMODE);
	SHOW(fcntl(ends[1], F_GETFL) & O_ACCMODE);
	SHOW(read(ends[0], buffer, 10));
	SHOW(write(ends[1], buffer, sizeof buffer));
	SHOW(write(ends[1], "x", 1));
	SHOW(read(ends[0], buffer, 4096));
	SHOW(write(ends[1], buffer, 5000));
	SHOW(write(ends[1], buffer, 4096));
	SHOW(fcntl(ends[0], F_GETPIPE_SZ));
}

CASE(pipe_writes_are_atomic)
{
	TRY(pipe2(ends, O_NONBLOCK));
	while (write(ends[1], buffer, 4096) == 4096)
		;
	SHOW(read(ends[0], buffer, 1000));
	SHOW(write(ends[1], buffer, 2000));
}

CASE(pipe_size)
{
	TRY(pipe(ends));
	SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
	SHOW(fcntl(ends[1], F_SETPIPE_SZ, 100000));
	SHOW(fcntl(ends[0], F_GETPIPE_SZ));
	SHOW(fcntl(0, F_GETPIPE_SZ));
}

CASE(pipe_flags)
{
	SHOW(pipe2(ends, 0x7));
	SHOW(pipe2(NOWHERE, 0));
	SHOW(pipe2(ends, O_DIRECT));
	SHOW(lseek(ends[0], 0, SEEK_SET));
	SHOW(pread(ends[0], buffer, 1, 0));
	SHOW(ftruncate(ends[1], 0));
	SHOW(fsync(ends[1]));
	int waiting = -1;
	write(ends[1], "abc", 3) == 3 ? 0 : SAY("not written");
	SHOW(ioctl(ends[0], FIONREAD, &waiting));
	SAY("%d", waiting);
	SHOW(ioctl(ends[0], TCGETS, buffer));
	SHOW(ioctl(ends[0], FIONBIO, &(int){1}));
	SHOW(read(ends[0], buffer, 3));
	SHOW(read(ends[0], buffer, 3));
}

CASE(pipe_packets)
{
	SHOW(pipe2(ends, O_DIRECT));
	SHOW(write(ends[1], "one", 3));
	SHOW(write(ends[1], "second", 6));
	SHOW(read(ends[0], buffer, 100));
	SHOW(read(ends[0], buffer, 2));
	SHOW(fcntl(ends[0], F_SETFL, O_NONBLOCK));
	SHOW(read(ends[0], buffer, 100));
}

CASE(pipe_vectors)
{
	char one[3] = "", two[5] = "";
	struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}}, in[2] = {{one, 2}, {two, 4}};
	TRY(pipe(ends));
	SHOW(writev(ends[1], out, 3));
	SHOW(readv(ends[0], in, 2));
	SAY("%.2s %.4s", one, two);
	SHOW(writev(ends[1], out, 0));
	SHOW(writev(ends[1], out, -1));
	SHOW(writev(ends[1], out, 1025));
	SHOW(readv(ends[0], NOWHERE, 1));
	out[1].iov_len = (size_t)-1;
	SHOW(writev(ends[1], out, 3));
	SHOW(preadv(ends[0], in, 2, 0));
}

CASE(pipe_status)
{
	struct stat status;
	TRY(pipe(ends));
	SHOW(fstat(ends[0], &status));
	SAY("%o %d", status.st_mode & S_IFMT, (int)status.st_size);
	struct stat other;
	fstat(ends[1], &other);
	IS(other.st_ino == status.st_ino);
}

CASE(spliced)
{
	int other[2] = {-1, -1};
	TRY(pipe(ends));
	TRY(pipe(other));
	SHOW(write(ends[1], "through", 7));
	SHOW(tee(ends[0], other[1], 4, 0));
	SHOW(read(other[0], buffer, 100));
	SHOW(splice(ends[0], NULL, other[1], NULL, 5, 0));
	SHOW(read(other[0], buffer, 100));
	SAY("%.5s", buffer);
	SHOW(splice(0, NULL, 1, NULL, 5, 0));
}

CASE(eventfd_counts)
{
	uint64_t value = 0;
	int event = eventfd(3, EFD_NONBLOCK);
	IS(event >= 0);
	SHOW(read(event, &value, 8));
	SAY("%lu", value);
	SHOW(read(event, &value, 8));
	value = 5;
	SHOW(write(event, &value, 8));
	SHOW(write(event, &value, 8));
	SHOW(read(event, &value, 100));
	SAY("%lu", value);
	SHOW(read(event, &value, 7));
	SHOW(write(event, &value, 7));
	value = UINT64_MAX;
	SHOW(write(event, &value, 8));
	value = UINT64_MAX - 1;
	SHOW(write(event, &value, 8));
	value = 1;
	SHOW(write(event, &value, 8));
	SHOW(eventfd(0, 0x10));
}

CASE(eventfd_semaphore)
{
	uint64_t value;
	int event = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);
	SHOW(fcntl(event, F_GETFD));
	for (int i = 0; i < 3; i++) {
		value = 0;
		SHOW(read(event, &value, 8));
		SAY("%lu", value);
	}
}

static void *signal_event(void *argument)
{
	uint64_t value = 7;
	sleep_ms(20);
	return (void *)write((int)(long)argument, &value, 8);
}

CASE(eventfd_blocks)
{
	uint64_t value = 0;
	int event = eventfd(0, 0);
	pthread_t thread = start(signal_event, (void *)(long)event);
	SHOW(read(event, &value, 8));
	SAY("%lu", value);
	pthread_join(thread, NULL);
}

CASE(socket_pair_stream)
{
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	SHOW(write(ends[0], "there", 5));
	SHOW(send(ends[1], "back", 4, 0));
	SHOW(recv(ends[1], buffer, 3, MSG_PEEK));
	SHOW(recv(ends[1], buffer, 100, 0));
	SHOW(recv(ends[0], buffer, 100, MSG_DONTWAIT));
	SHOW(recv(ends[0], buffer, 100, MSG_DONTWAIT));
	SHOW(shutdown(ends[0], SHUT_WR));
	SHOW(recv(ends[1], buffer, 100, 0));
	SHOW(send(ends[0], "x", 1, MSG_NOSIGNAL));
	SHOW(send(ends[1], "x", 1, MSG_NOSIGNAL));
	SHOW(close(ends[0]));
	SHOW(send(ends[1], "x", 1, MSG_NOSIGNAL));
	SHOW(shutdown(ends[1], 77));
}

CASE(socket_pair_closed_with_unread_bytes)
{
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	SHOW(write(ends[0], "there", 5));
	close(ends[1]);
	SHOW(read(ends[0], buffer, 10));
	SHOW(read(ends[0], buffer, 10));
}

CASE(socket_pair_datagrams)
{
	SHOW(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends));
	SHOW(send(ends[0], "first", 5, 0));
	SHOW(send(ends[0], "", 0, 0));
	SHOW(send(ends[0], "second", 6, 0));
	SHOW(recv(ends[1], buffer, 2, MSG_TRUNC));
	SHOW(recv(ends[1], buffer, 100, 0));
	SHOW(recv(ends[1], buffer, 100, 0));
	SHOW(recv(ends[1], buffer, 100, 0));
}

CASE(socket_pair_packets)
{
	SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	SHOW(send(ends[0], "first", 5, 0));
	SHOW(send(ends[0], "second", 6, 0));
	SHOW(recv(ends[1], buffer, 100, 0));
	SHOW(recv(ends[1], buffer, 3, 0));
	close(ends[0]);
	SHOW(recv(ends[1], buffer, 100, 0));
}

CASE(wrong_socket_pairs)
{
	SHOW(socketpair(AF_INET, SOCK_STREAM, 0, ends));
	SHOW(socketpair(AF_UNIX, 77, 0, ends));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 77, ends));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, NOWHERE));
	SHOW(socketpair(777, SOCK_STREAM, 0, ends));
}

CASE(socket_options)
{
	int value = -1;
	socklen_t length = sizeof value;
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	SHOW(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &value, &length));
	SAY("%d %u", value, length);
	SHOW(getsockopt(ends[0], SOL_SOCKET, SO_ERROR, &value, &length));
	SAY("%d", value);
	SHOW(getsockopt(ends[0], SOL_SOCKET, SO_DOMAIN, &value, &length));
	SAY("%d", value);
	SHOW(getsockopt(ends[0], SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
	SAY("%d", value);
	SHOW(getsockopt(ends[0], 7777, 1, &value, &length));
	SHOW(getsockopt(0, SOL_SOCKET, SO_TYPE, &value, &length));
	struct sockaddr_un name;
	length = sizeof name;
	SHOW(getsockname(ends[0], (struct sockaddr *)&name, &length));
	SAY("%u %d", length, name.sun_family);
	length = sizeof name;
	SHOW(getpeername(ends[0], (struct sockaddr *)&name, &length));
	SAY("%u", length);
	SHOW(listen(ends[0], 5));
	SHOW(accept(ends[0], NULL, NULL));
}

CASE(socket_messages)
{
	char one[4] = "", two[10] = "";
	struct iovec out[2] = {{"abc", 3}, {"defg", 4}}, in[2] = {{one, 4}, {two, 10}};
	struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
	TRY(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	SHOW(sendmsg(ends[0], &message, 0));
	message.msg_iov = in;
	SHOW(recvmsg(ends[1], &message, 0));
	SAY("%.4s %.3s flags %#x", one, two, message.msg_flags);
	message.msg_iov = out;
	TRY(sendmsg(ends[0], &message, 0));
	message.msg_iov = in, message.msg_iovlen = 1;
	SHOW(recvmsg(ends[1], &message, 0));
	SAY("flags %#x", message.msg_flags);
	SHOW(sendmsg(ends[0], NOWHERE, 0));
	SHOW(sendmsg(0, &message, 0));
}

CASE(descriptors_are_passed)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	char byte = 'x';
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	int other[2];
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	TRY(pipe(other));
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), &other[1], sizeof(int));
	SHOW(sendmsg(ends[0], &message, 0));
	close(other[1]);
	memset(&control, 0, sizeof control);
	SHOW(recvmsg(ends[1], &message, 0));
	int passed = -1;
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&passed, CMSG_DATA(&control.header), sizeof(int));
	SHOW(write(passed, "via", 3));
	SHOW(read(other[0], buffer, 10));
}

CASE(memory_file)
{
	int file = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	IS(file >= 0);
	SHOW(fcntl(file, F_GETFD));
	SHOW(write(file, "0123456789", 10));
	SHOW(lseek(file, 0, SEEK_END));
	SHOW(lseek(file, 3, SEEK_SET));
	SHOW(read(file, buffer, 4));
	SAY("%.4s", buffer);
	SHOW(ftruncate(file, 5));
	SHOW(pread(file, buffer, 100, 0));
	SHOW(ftruncate(file, 8));
	SHOW(pread(file, buffer, 100, 0));
	SAY("%d", buffer[7]);
	SHOW(fcntl(file, F_GET_SEALS));
	SHOW(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
	SHOW(ftruncate(file, 2));
	SHOW(write(file, "x", 1));
	SHOW(ftruncate(file, 20));
	SHOW(fcntl(file, F_GET_SEALS));
	SHOW(memfd_create("name", 0x800));
	SHOW(memfd_create(NOWHERE, 0));
}

CASE(duplicates)
{
	TRY(pipe(ends));
	int copy = dup(ends[1]);
	SHOW(write(copy, "a", 1));
	SHOW(close(ends[1]));
	SHOW(write(copy, "b", 1));
	SHOW(fcntl(copy, F_SETFL, O_NONBLOCK));
	SHOW(dup2(copy, 50));
	SHOW(fcntl(50, F_GETFL) & O_NONBLOCK);
	SHOW(dup2(50, 50));
	SHOW(dup2(NO_FD, 50));
	SHOW(dup2(50, -1));
	SHOW(dup2(50, 100000000));
	SHOW(dup3(50, 50, 0));
	SHOW(dup3(50, 51, O_CLOEXEC));
	SHOW(fcntl(51, F_GETFD));
	SHOW(dup3(50, 52, 1));
	SHOW(fcntl(50, F_DUPFD, 60));
	SHOW(fcntl(50, F_DUPFD, 60));
	SHOW(fcntl(50, F_DUPFD_CLOEXEC, 60));
	SHOW(fcntl(62, F_GETFD));
	SHOW(fcntl(50, F_DUPFD, -1));
	SHOW(fcntl(50, F_DUPFD, 100000000));
	SHOW(dup(NO_FD));
	close(copy), close(50), close(51), close(60), close(61), close(62);
	SHOW(read(ends[0], buffer, 10));
	SHOW(read(ends[0], buffer, 10));
}

CASE(lowest_number_first)
{
	TRY(pipe(ends));
	int first = dup(ends[0]), second = dup(ends[0]), third = dup(ends[0]);
	SHOW(second - first);
	SHOW(third - second);
	close(first), close(second);
	SHOW(dup(ends[0]) - first);
	SHOW(dup(ends[0]) - first);
	SHOW(dup(ends[0]) - first);
}

CASE(closing)
{
	TRY(pipe(ends));
	SHOW(close(ends[0]));
	SHOW(close(ends[0]));
	SHOW(close(-1));
	SHOW(dup2(ends[1], 20));
	SHOW(dup2(ends[1], 25));
	SHOW(dup2(ends[1], 30));
	SHOW(close_range(20, 25, 0));
	SHOW(fcntl(20, F_GETFD));
	SHOW(fcntl(25, F_GETFD));
	SHOW(fcntl(30, F_GETFD));
	SHOW(close_range(26, 40, CLOSE_RANGE_CLOEXEC));
	SHOW(fcntl(30, F_GETFD));
	SHOW(close_range(5, 4, 0));
	SHOW(close_range(5, 6, 0x80));
}

CASE(descriptor_flags)
{
	TRY(pipe(ends));
	SHOW(fcntl(ends[0], F_SETFD, FD_CLOEXEC));
	SHOW(fcntl(ends[0], F_GETFD));
	SHOW(fcntl(dup(ends[0]), F_GETFD));
	SHOW(ioctl(ends[0], FIONCLEX));
	SHOW(fcntl(ends[0], F_GETFD));
	SHOW(ioctl(ends[0], FIOCLEX));
	SHOW(fcntl(ends[0], F_GETFD));
	SHOW(fcntl(ends[0], 7777));
	SHOW(fcntl(NO_FD, F_GETFD));
	SHOW(fcntl(ends[1], F_SETFL, O_APPEND | O_RDWR | O_CREAT));
	SHOW(fcntl(ends[1], F_GETFL) & (O_APPEND | O_CREAT | O_ACCMODE));
}
