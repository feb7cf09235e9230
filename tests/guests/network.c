/* Connections, as far as they are allowed.
 *
 * ADDRESS is a number and a port ("127.0.0.1:80") or the path of a socket file.
 *
 *   /connect?ADDRESS    "connected"
 *   /ask?ADDRESS        sends the argument, and answers with what comes back
 *   /datagram?ADDRESS   sends the argument as one datagram: "sent"
 *   /name?NAME:PORT     looks a name up, and asks there
 *   /bind?ADDRESS       "bound"
 *   /listen             "listening"
 *   /kept               what receiving and sending say on the connection that main() opened to the
 *                       address in its first argument
 *
 * What fails is status 403 and the name of the error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tinykvm.h>
#include <unistd.h>

static char buffer[65536];
static int kept = -1;

static void say(const char *text)
{
	backend_response_str(200, "text/plain", text);
}

static void failed(void)
{
	backend_response_str(403, "text/plain", strerrorname_np(errno));
}

union address {
	struct sockaddr any;
	struct sockaddr_in internet;
	struct sockaddr_un file;
};

static socklen_t parse(const char *text, union address *address)
{
	memset(address, 0, sizeof *address);
	if (text[0] == '/') {
		address->file.sun_family = AF_UNIX;
		strncpy(address->file.sun_path, text, sizeof address->file.sun_path - 1);
		return sizeof address->file;
	}
	char number[64];
	const char *port = strrchr(text, ':');
	if (port == NULL || (size_t)(port - text) >= sizeof number) {
		backend_response_str(400, "text/plain", "no address");
	}
	memcpy(number, text, (size_t)(port - text));
	number[port - text] = 0;
	address->internet.sin_family = AF_INET;
	address->internet.sin_port = htons((uint16_t)atoi(port + 1));
	inet_pton(AF_INET, number, &address->internet.sin_addr);
	return sizeof address->internet;
}

/* A socket that is connected, or -1. */
static int dial(const char *text)
{
	union address address;
	socklen_t length = parse(text, &address);
	int fd = socket(address.any.sa_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, &address.any, length) < 0) {
		return -1;
	}
	return fd;
}

static void ask(int fd, const char *question)
{
	if (fd < 0 || send(fd, question, strlen(question), MSG_NOSIGNAL) < 0) {
		failed();
	}
	ssize_t length = recv(fd, buffer, sizeof buffer, 0);
	if (length < 0) {
		failed();
	}
	backend_response(200, "text/plain", 10, buffer, (size_t)length);
}

static void datagram(const char *text, const char *message)
{
	union address address;
	socklen_t length = parse(text, &address);
	int fd = socket(address.any.sa_family, SOCK_DGRAM, 0);
	if (sendto(fd, message, strlen(message), 0, &address.any, length) < 0) {
		failed();
	}
	say("sent");
}

static void name(char *text, const char *question)
{
	char *port = strrchr(text, ':');
	if (port == NULL) {
		say("no port");
	}
	*port = 0;
	struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo(text, port + 1, &wanted, &found);
	if (error != 0) {
		backend_response_str(404, "text/plain", gai_strerror(error));
	}
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
		failed();
	}
	ask(fd, question);
}

static void do_bind(const char *text)
{
	union address address;
	socklen_t length = parse(text, &address);
	int fd = socket(address.any.sa_family, SOCK_STREAM, 0);
	if (bind(fd, &address.any, length) < 0) {
		failed();
	}
	say("bound");
}

static void do_listen(void)
{
	if (listen(socket(AF_INET, SOCK_STREAM, 0), 5) < 0) {
		failed();
	}
	say("listening");
}

static const char *outcome(ssize_t result)
{
	return result < 0 ? strerrorname_np(errno) : "done";
}

static void use_kept(void)
{
	char text[100];
	const char *received = outcome(recv(kept, buffer, sizeof buffer, 0));
	const char *sent = outcome(send(kept, "x", 1, MSG_NOSIGNAL));
	snprintf(text, sizeof text, "%s %s", received, sent);
	say(text);
}

static void get(const char *url, const char *arg)
{
	char *rest = strchr(url, '?');
	size_t length = rest ? (size_t)(rest - url) : strlen(url);
	rest = rest ? rest + 1 : "";
#define IS(text) (length == strlen(text) && memcmp(url, text, length) == 0)
	if (IS("/connect")) {
		if (dial(rest) < 0) {
			failed();
		}
		say("connected");
	} else if (IS("/ask")) {
		ask(dial(rest), arg);
	} else if (IS("/datagram")) {
		datagram(rest, arg);
	} else if (IS("/name")) {
		name(rest, arg);
	} else if (IS("/bind")) {
		do_bind(rest);
	} else if (IS("/listen")) {
		do_listen();
	} else if (IS("/kept")) {
		use_kept();
	}
	backend_response_str(404, "text/plain", "unknown");
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		kept = dial(argv[1]);
		if (kept < 0 || send(kept, "from main", 9, 0) != 9) {
			perror("main");
			return 1;
		}
	}
	set_backend_get(get);
	wait_for_requests();
}
