/* What must differ from request to request, although memory is the same each time.
 *
 *   /all         one line for each source of randomness, in hexadecimal
 *   /SOURCE      only that one: getrandom, at_random, prng, urandom
 *   /init        what getrandom gave before the wait call: always the same
 *   /realtime, /monotonic, /time   the clocks, in nanoseconds (the last in seconds)
 *   /clocks      "ok" if clocks advance, agree with each other, and stay after the init's
 */
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>
#include <tinykvm.h>
#include <unistd.h>

static uint8_t at_init[16];
static int64_t realtime_at_init, monotonic_at_init;

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void hex(char *out, const char *name, const void *bytes, size_t len)
{
	out += strlen(out);
	out += sprintf(out, "%s=", name);
	for (size_t i = 0; i < len; i++) {
		out += sprintf(out, "%02x", ((const uint8_t *)bytes)[i]);
	}
	sprintf(out, "\n");
}

static const char *clocks(void)
{
	int64_t real = clock_ns(CLOCK_REALTIME), mono = clock_ns(CLOCK_MONOTONIC);
	struct timeval day;
	gettimeofday(&day, NULL);
	for (int64_t last = mono, i = 0; i < 10000; i++) {
		int64_t now = clock_ns(CLOCK_MONOTONIC);
		if (now < last) {
			return "monotonic goes back";
		}
		last = now;
	}
	if (clock_ns(CLOCK_MONOTONIC) == mono) {
		return "monotonic stands still";
	}
	if (mono <= monotonic_at_init || real <= realtime_at_init) {
		return "before init";
	}
	int64_t apart = (real - realtime_at_init) - (mono - monotonic_at_init);
	if (apart > 1000000000 || apart < -1000000000) {
		return "realtime and monotonic drift";
	}
	int64_t micro = day.tv_sec * 1000000000ll + day.tv_usec * 1000ll - real;
	if (micro < -1000000 || micro > 1000000000 || time(NULL) - real / 1000000000 > 2) {
		return "gettimeofday or time differs";
	}
	return "ok";
}

static void request(const struct kvm_request *it)
{
	const char *source = it->url + 1;
	int all = strcmp(source, "all") == 0;
	char out[1000] = "";
	uint8_t bytes[16] = {0};
	if (all || strcmp(source, "getrandom") == 0) {
		if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
			backend_response_str(500, "text/plain", "getrandom fails");
		}
		hex(out, "getrandom", bytes, sizeof bytes);
	}
	if (all || strcmp(source, "at_random") == 0) {
		hex(out, "at_random", (const void *)getauxval(AT_RANDOM), 16);
		// Programs may write there; the next request finds fresh bytes all the same.
		memset((void *)getauxval(AT_RANDOM), 0, 16);
	}
	if (all || strcmp(source, "prng") == 0) {
		hex(out, "prng", it->prng, sizeof it->prng);
	}
	if (strcmp(source, "urandom") == 0) {
		int fd = open("/dev/urandom", O_RDONLY);
		if (fd < 0 || read(fd, bytes, sizeof bytes) != sizeof bytes) {
			backend_response_str(200, "text/plain", "unsupported");
		}
		hex(out, "urandom", bytes, sizeof bytes);
	}
	if (strcmp(source, "init") == 0) {
		hex(out, "init", at_init, sizeof at_init);
	} else if (strcmp(source, "realtime") == 0) {
		sprintf(out, "%lld", (long long)clock_ns(CLOCK_REALTIME));
	} else if (strcmp(source, "monotonic") == 0) {
		sprintf(out, "%lld", (long long)clock_ns(CLOCK_MONOTONIC));
	} else if (strcmp(source, "time") == 0) {
		sprintf(out, "%lld", (long long)time(NULL));
	} else if (strcmp(source, "clocks") == 0) {
		strcpy(out, clocks());
	}
	backend_response_str(out[0] ? 200 : 404, "text/plain", out);
}

int main(void)
{
	if (getrandom(at_init, sizeof at_init, 0) != sizeof at_init) {
		return 1;
	}
	memset((void *)getauxval(AT_RANDOM), 0, 16);
	realtime_at_init = clock_ns(CLOCK_REALTIME);
	monotonic_at_init = clock_ns(CLOCK_MONOTONIC);
	set_backend_request(request);
	wait_for_requests();
}
