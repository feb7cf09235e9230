/* Uses what its arguments say: pairs of a word and a value. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <tinykvm.h>
#include <unistd.h>

static int need(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(9);
	}
	return result;
}

static void say_hello(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = need(socket(AF_INET, SOCK_STREAM, 0), "socket");
	need(connect(fd, (struct sockaddr *)&to, sizeof to), "connect");
	need((int)write(fd, "hello", 5), "write");
	close(fd);
}

/* Code as a JIT compiler makes it: written, then made executable. */
static void execute(void)
{
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, code, sizeof code);
	need(mprotect(at, 4096, PROT_READ | PROT_EXEC), "mprotect");
	if (((int (*)(void))at)() != 42)
		exit(8);
}

/* What may be had in another way, for those who are asked twice. */
static void ask_for_both(void)
{
	for (int i = 0; i < 3; i++)
		(void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void get(const char *url, const char *arg)
{
	(void)url, (void)arg;
	backend_response_str(200, "text/plain", "ok");
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "read") == 0)
			close(need(open(value, O_RDONLY), value));
		else if (strcmp(argv[i], "connect") == 0)
			say_hello(atoi(value));
		else if (strcmp(argv[i], "execute") == 0)
			execute();
		else if (strcmp(argv[i], "ask") == 0)
			ask_for_both();
		else if (strcmp(argv[i], "exit") == 0)
			return atoi(value);
	}
	set_backend_get(get);
	wait_for_requests();
}
