/* What the programs in C and C++ have in common: answering requests, or doing the same natively.
 *
 * A program defines answer(). Requests are /0, /1 and so on; /count tells how many there were,
 * /unique gives what must never be the same twice, and clocks.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/random.h>
#include <time.h>
#include <tinykvm.h>
#include <unistd.h>

#define ANSWER_MAX 65536
#define REQUESTS 100
#define ROUNDS 10

static char answer_text[ANSWER_MAX];
static size_t answer_length;
static unsigned requests;

/* Does request `number`; what it says() is the answer. */
static void answer(unsigned number);

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	size_t room = sizeof answer_text - answer_length;
	int length = vsnprintf(answer_text + answer_length, room, format, arguments);
	va_end(arguments);
	if (length > 0)
		answer_length += (size_t)length < room ? (size_t)length : room - 1;
}

static long long nanoseconds(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Fills `bytes` from a file, and gives how many there were. */
static size_t read_file(const char *path, void *bytes, size_t length)
{
	int file = open(path, O_RDONLY);
	ssize_t count = file < 0 ? -1 : read(file, bytes, length);
	if (count < 0)
		abort();
	close(file);
	return (size_t)count;
}

static void say_hex(const char *name, const unsigned char bytes[16])
{
	say("%s ", name);
	for (size_t i = 0; i < 16; i++)
		say("%02x", bytes[i]);
	say("\n");
}

/* `prng` is of the request: what a generator of the program's own is seeded with. */
static void unique(const uint64_t *prng)
{
	unsigned char bytes[16];
	char uuid[37] = "";
	if (read_file("/dev/urandom", bytes, sizeof bytes) != sizeof bytes)
		abort();
	say_hex("urandom", bytes);
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		abort();
	say_hex("nonce", bytes);
	read_file("/proc/sys/kernel/random/uuid", uuid, sizeof uuid - 1);
	say("uuid %s\n", uuid);
	srandom((unsigned)prng[0]);
	say("random %ld%ld\n", random(), random());
	say("monotonic %lld\n", nanoseconds(CLOCK_MONOTONIC));
	say("realtime %lld\n", nanoseconds(CLOCK_REALTIME));
}

static void on_request(const struct kvm_request *request)
{
	answer_length = 0;
	requests++;
	if (strcmp(request->url, "/unique") == 0)
		unique(request->prng);
	else if (strcmp(request->url, "/count") == 0)
		say("%u", requests);
	else
		answer((unsigned)atoi(request->url + 1));
	backend_response(200, "text/plain", 10, answer_text, answer_length);
}

static int natively(void)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		answer_length = 0;
		answer(i);
		printf("%.*s\n--\n", (int)answer_length, answer_text);
	}
	/* On the emulated test bed time means nothing. */
	unsigned rounds = getenv("TINYKVM_EMULATED") ? 0 : ROUNDS;
	long long begun = nanoseconds(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < rounds * REQUESTS; i++) {
		answer_length = 0;
		answer(i % REQUESTS);
	}
	long long time = nanoseconds(CLOCK_MONOTONIC) - begun;
	printf("ns %lld\n", time / (ROUNDS * REQUESTS));
	return 0;
}

/* To be called when the program is ready. */
static int serve(void)
{
	if (!IS_SANDBOXED_MAIN())
		return natively();
	/* What is done at a first time is done before the freeze. */
	for (unsigned i = 0; i < REQUESTS; i++) {
		answer_length = 0;
		answer(i);
	}
	requests = 0;
	set_backend_request(on_request);
	wait_for_requests();
}

#endif
