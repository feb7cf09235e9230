/* A filter that compresses bodies with Brotli, into the host's buffer. Its argument is the
 * quality, 0 to 11. Who accepts the result, and which types are worth it, is decided in VCL.
 */
#include <stdio.h>
#include <stdlib.h>

#include <brotli/encode.h>
#include <tinykvm.h>

enum {
	DEFAULT_QUALITY = 5,
	/* Less than this fits into one packet anyway. */
	MIN_LENGTH = 256,
};

static BrotliEncoderState *encoder;

static int begin(const struct filter_start *start)
{
	int quality = *start->arg ? atoi(start->arg) : DEFAULT_QUALITY;
	if (quality < BROTLI_MIN_QUALITY || quality > BROTLI_MAX_QUALITY) {
		fprintf(stderr, "brotli: the quality is %d to %d, not \"%s\"\n", BROTLI_MIN_QUALITY,
		        BROTLI_MAX_QUALITY, start->arg);
		return -1;
	}
	if (start->length < MIN_LENGTH
	    || http_find_str(TINYKVM_RESPONSE, "Content-Encoding", NULL, 0) > 0) {
		return TINYKVM_FILTER_PASS;
	}
	BrotliEncoderSetParameter(encoder, BROTLI_PARAM_QUALITY, (uint32_t)quality);
	if (start->length <= 1 << 30) {
		/* Tables of the right size: a small body costs little memory. */
		BrotliEncoderSetParameter(encoder, BROTLI_PARAM_SIZE_HINT, (uint32_t)start->length);
	}
	http_set_str(TINYKVM_RESPONSE, "Content-Encoding: br");
	/* VCL may have said this, and more. */
	if (http_find_str(TINYKVM_RESPONSE, "Vary", NULL, 0) == 0) {
		http_set_str(TINYKVM_RESPONSE, "Vary: Accept-Encoding");
	}
	return TINYKVM_FILTER_TRANSFORM;
}

static int compress(const uint8_t *data, size_t len, BrotliEncoderOperation what)
{
	do {
		size_t room;
		uint8_t *to = filter_room(&room);
		size_t left = room;
		if (!BrotliEncoderCompressStream(encoder, what, &len, &data, &left, &to, NULL)) {
			fprintf(stderr, "brotli: the encoder has failed\n");
			return -1;
		}
		filter_wrote(room - left);
	} while (len > 0 || BrotliEncoderHasMoreOutput(encoder));
	return 0;
}

static int chunk(const uint8_t *data, size_t len)
{
	return compress(data, len, BROTLI_OPERATION_PROCESS);
}

static int end(void)
{
	return compress(NULL, 0, BROTLI_OPERATION_FINISH);
}

int main(void)
{
	/* Made once: every body finds it as it is now. */
	encoder = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	set_filter(begin, chunk, end);
	wait_for_requests();
}
