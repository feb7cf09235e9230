/* Puts the request's body into the log, in the way that the URL names.
 *
 * Ways that only print: one write, a byte at a time, several pieces at a time, through other
 * descriptors and paths. Other ways make the host say something that has the text in it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <tinykvm.h>
#include <unistd.h>

static const char *data;
static size_t length;

static void all(int to, size_t piece)
{
	for (size_t at = 0; at < length; at += piece) {
		size_t left = length - at;
		if (write(to, data + at, left < piece ? left : piece) < 0) {
			return;
		}
	}
}

static void vector(void)
{
	struct iovec parts[3] = {
		{ (void *)data, length / 3 },
		{ (void *)(data + length / 3), length / 3 },
		{ (void *)(data + length / 3 * 2), length - length / 3 * 2 },
	};
	writev(1, parts, 3);
}

static void from_file(void)
{
	int file = memfd_create("file", 0);
	write(file, data, length);
	lseek(file, 0, SEEK_SET);
	sendfile(1, file, NULL, length);
}

static void from_pipe(void)
{
	int ends[2];
	if (pipe(ends) == 0 && write(ends[1], data, length) > 0) {
		splice(ends[0], NULL, 1, NULL, length, 0);
		tee(ends[0], 1, length, 0);
	}
}

static void by_path(const char *path)
{
	int to = open(path, O_WRONLY | O_APPEND);
	if (to >= 0) {
		all(to, length);
	}
}

static void connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	memcpy(to.sun_path, path, length < sizeof to.sun_path ? length : sizeof to.sun_path - 1);
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof to);
}

static void crash(const char *text)
{
	fprintf(stderr, "%s", text);
	fflush(stderr);
	abort();
}

static void post(const char *url, const char *arg, const char *type, const uint8_t *body, size_t size)
{
	char *text = calloc(1, size + 1);
	memcpy(text, body, size);
	data = text;
	length = size;
	const char *way = url + 1;
	if (!strcmp(way, "write")) {
		all(1, length);
	} else if (!strcmp(way, "write_error")) {
		all(2, length);
	} else if (!strcmp(way, "bytes")) {
		all(2, 1);
	} else if (!strcmp(way, "pieces")) {
		all(1, 7);
	} else if (!strcmp(way, "writev")) {
		vector();
	} else if (!strcmp(way, "pwrite")) {
		pwrite(1, data, length, 0);
	} else if (!strcmp(way, "sendfile")) {
		from_file();
	} else if (!strcmp(way, "splice")) {
		from_pipe();
	} else if (!strcmp(way, "stdout")) {
		by_path("/dev/stdout");
	} else if (!strcmp(way, "stderr")) {
		by_path("/dev/stderr");
	} else if (!strcmp(way, "tty")) {
		by_path("/dev/tty");
	} else if (!strcmp(way, "proc")) {
		by_path("/proc/self/fd/1");
	} else if (!strcmp(way, "dup")) {
		all(dup(1), length);
	} else if (!strcmp(way, "dup_to")) {
		all(dup2(2, 77), length);
	} else if (!strcmp(way, "log")) {
		sys_log(text, length);
	} else if (!strcmp(way, "log_by_call")) {
		syscall(0x7F000, text, length);
	} else if (!strcmp(way, "open")) {
		char *path = calloc(1, size + 2);
		path[0] = '/';
		memcpy(path + 1, text, size);
		open(path, O_RDONLY);
		open(text, O_RDWR | O_CREAT, 0600);
		unlink(path);
		rename(path, "/x");
		symlink(text, path);
		chdir(path);
		getcwd(path, size);
	} else if (!strcmp(way, "connect")) {
		connect_to(text);
	} else if (!strcmp(way, "name")) {
		prctl(PR_SET_NAME, text);
		*(volatile int *)8 = 0;
	} else if (!strcmp(way, "field")) {
		http_append(TINYKVM_RESPONSE, text, length);
	} else if (!strcmp(way, "name_of_field")) {
		http_find(TINYKVM_REQUEST, text, length, text, length);
	} else if (!strcmp(way, "type")) {
		backend_response(200, text, length, "", 0);
	} else if (!strcmp(way, "panic")) {
		crash(text);
	}
	backend_response_str(200, "text/plain", "done");
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		data = argv[2];
		length = strlen(data);
		all(2, atoi(argv[1]));
		return 9;
	}
	set_backend_post(post);
	wait_for_requests();
}
