/* A filter that compresses bodies with Zstandard, into the host's buffer. Its argument is the
 * level, 1 to 19. Who accepts the result, and which types are worth it, is decided in VCL.
 */
#include <stdio.h>
#include <stdlib.h>

#include <tinykvm.h>
#include <zstd.h>

enum {
	DEFAULT_LEVEL = 3,
	/* Further ones need a window that browsers refuse (RFC 9659). */
	MAX_LEVEL = 19,
	/* Less than this fits into one packet anyway. */
	MIN_LENGTH = 256,
};

static ZSTD_CCtx *context;

static int begin(const struct filter_start *start)
{
	int level = *start->arg ? atoi(start->arg) : DEFAULT_LEVEL;
	if (level < 1 || level > MAX_LEVEL) {
		fprintf(stderr, "zstd: the level is 1 to %d, not \"%s\"\n", MAX_LEVEL, start->arg);
		return -1;
	}
	if (start->length < MIN_LENGTH
	    || http_find_str(TINYKVM_RESPONSE, "Content-Encoding", NULL, 0) > 0) {
		return TINYKVM_FILTER_PASS;
	}
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
	if (start->length != TINYKVM_FILTER_UNKNOWN_LENGTH) {
		/* Tables of the right size: a small body costs little memory. */
		ZSTD_CCtx_setPledgedSrcSize(context, start->length);
	}
	http_set_str(TINYKVM_RESPONSE, "Content-Encoding: zstd");
	/* VCL may have said this, and more. */
	if (http_find_str(TINYKVM_RESPONSE, "Vary", NULL, 0) == 0) {
		http_set_str(TINYKVM_RESPONSE, "Vary: Accept-Encoding");
	}
	return TINYKVM_FILTER_TRANSFORM;
}

static int compress(const uint8_t *data, size_t len, ZSTD_EndDirective what)
{
	ZSTD_inBuffer in = {data, len, 0};
	size_t left;
	do {
		size_t room;
		uint8_t *to = filter_room(&room);
		ZSTD_outBuffer out = {to, room, 0};
		left = ZSTD_compressStream2(context, &out, &in, what);
		if (ZSTD_isError(left)) {
			fprintf(stderr, "zstd: %s\n", ZSTD_getErrorName(left));
			return -1;
		}
		filter_wrote(out.pos);
	} while (in.pos < in.size || (what == ZSTD_e_end && left > 0));
	return 0;
}

static int chunk(const uint8_t *data, size_t len)
{
	return compress(data, len, ZSTD_e_continue);
}

static int end(void)
{
	return compress(NULL, 0, ZSTD_e_end);
}

int main(void)
{
	/* Made once: every body finds it as it is now. */
	context = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	set_filter(begin, chunk, end);
	wait_for_requests();
}
