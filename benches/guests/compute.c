// The same work natively and in a guest, timed by itself with the clock of the place: built with
// -DNATIVE it is a filter (one line of input, one of output), else a program that answers URLs.
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER (64ul << 20)
static uint8_t *buffer;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t integers(void) {
	uint64_t x = 88172645463325252ull, sum = 0;
	for (int i = 0; i < 20000000; i++) {
		x ^= x << 13; x ^= x >> 7; x ^= x << 17;
		sum += x % 1000;
	}
	return sum;
}

static uint64_t vectors(void) {
	__m256 a = _mm256_set1_ps(1.000001f), b = _mm256_set1_ps(0.999999f), s[8];
	for (int k = 0; k < 8; k++) s[k] = _mm256_set1_ps(k);
	for (int i = 0; i < 20000000; i++)
		for (int k = 0; k < 8; k++) s[k] = _mm256_add_ps(_mm256_mul_ps(s[k], a), b);
	float out[8], sum = 0;
	for (int k = 0; k < 8; k++) { _mm256_storeu_ps(out, s[k]); sum += out[0]; }
	return (uint64_t)sum;
}

static uint64_t memory(void) {
	__m256i sum = _mm256_setzero_si256();
	for (int pass = 0; pass < 4; pass++)
		for (size_t i = 0; i < BUFFER; i += 128)
			for (int k = 0; k < 128; k += 32)
				sum = _mm256_add_epi64(sum, _mm256_load_si256((const void *)(buffer + i + k)));
	return _mm256_extract_epi64(sum, 0);
}

// Runs the named work; "nanoseconds result".
static void work(const char *name, char *out, size_t length) {
	uint64_t start = now(), result = 0;
	if (strstr(name, "int")) result = integers();
	else if (strstr(name, "avx2")) result = vectors();
	else if (strstr(name, "mem")) result = memory();
	uint64_t time = now() - start;
	snprintf(out, length, "%llu %llu\n", (unsigned long long)time, (unsigned long long)result);
}

static void prepare(void) {
	buffer = aligned_alloc(4096, BUFFER);
	for (size_t i = 0; i < BUFFER; i++) buffer[i] = i * 7;
}

#ifdef NATIVE
int main(void) {
	char line[64], out[64];
	prepare();
	while (fgets(line, sizeof line, stdin)) {
		work(line, out, sizeof out);
		fputs(out, stdout);
		fflush(stdout);
	}
	return 0;
}
#else
#include <tinykvm.h>
static void on_get(const char *url, const char *arg) {
	(void)arg;
	char out[64];
	work(url, out, sizeof out);
	backend_response_str(200, "text/plain", out);
}
int main(void) {
	prepare();
	set_backend_get(on_get);
	wait_for_requests();
}
#endif
