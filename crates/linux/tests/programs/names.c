/* Names, as a C library looks them up: /etc/resolv.conf says where to ask. Only the port is the
 * test's, in the first argument. */
#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>
#include <sys/socket.h>

static void resolve(const char *name, int family)
{
	struct addrinfo wanted = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found, *it;
	int error = getaddrinfo(name, NULL, &wanted, &found);
	printf("%s:", name);
	if (error != 0) {
		printf(" %s\n", gai_strerror(error));
		return;
	}
	for (it = found; it; it = it->ai_next) {
		char text[100];
		CHECK(getnameinfo(it->ai_addr, it->ai_addrlen, text, sizeof text, NULL, 0,
		                  NI_NUMERICHOST) == 0);
		printf(" %s", text);
	}
	putchar('\n');
	freeaddrinfo(found);
}

/* Whether a connection is refused by the rules. Nobody is there, so it is only begun. */
static void try_to_reach(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	CHECK(inet_pton(AF_INET, address, &to.sin_addr) == 1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int denied = connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno == EACCES;
	printf("%s:%d: %s\n", address, port, denied ? "denied" : "allowed");
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	CHECK(res_init() == 0);
	CHECK(_res.nscount == 1);
	_res.nsaddr_list[0].sin_port = htons((uint16_t)atoi(argv[1]));
	_res.retrans = 2;
	try_to_reach("192.0.2.33", 443);
	resolve("db.allowed.example", AF_UNSPEC);
	resolve("DB.allowed.example", AF_INET);
	try_to_reach("192.0.2.33", 443);
	try_to_reach("192.0.2.33", 80);
	try_to_reach("192.0.2.34", 443);
	resolve("secret.attacker.example", AF_UNSPEC);
	resolve("nothing.allowed.example", AF_UNSPEC);
	resolve("loop.allowed.example", AF_INET);
	try_to_reach("127.0.0.1", 443);
}
