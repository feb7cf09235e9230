/* A filter that makes WebP or AVIF of PNG and JPEG, whichever it is linked with. Its argument is
 * the quality, 1 to 100. Who accepts the result is decided in VCL.
 */
#include <stdio.h>
#include <stdlib.h>

#include <tinykvm.h>

#include "image.h"

enum {
	DEFAULT_QUALITY = 75,
};

static int quality;
static bool is_png;

static int begin(const struct filter_start *start)
{
	char type[64];
	quality = *start->arg ? atoi(start->arg) : DEFAULT_QUALITY;
	if (quality < 1 || quality > 100) {
		fprintf(stderr, "the quality is 1 to 100, not \"%s\"\n", start->arg);
		return -1;
	}
	if (http_value(TINYKVM_RESPONSE, "Content-Type", type, sizeof type) < 0) {
		return TINYKVM_FILTER_PASS;
	}
	is_png = !strcmp(type, "image/png");
	if (!is_png && strcmp(type, "image/jpeg")) {
		return TINYKVM_FILTER_PASS;
	}
	http_setf(TINYKVM_RESPONSE, "Content-Type: %s", output_type);
	/* VCL may have said this, and more. */
	if (http_find_str(TINYKVM_RESPONSE, "Vary", NULL, 0) == 0) {
		http_set_str(TINYKVM_RESPONSE, "Vary: Accept");
	}
	return TINYKVM_FILTER_WHOLE_BODY;
}

static int chunk(const uint8_t *data, size_t len)
{
	struct image image = {0};
	const uint8_t *output;
	size_t length;
	if (!(is_png ? read_png : read_jpeg)(data, len, &image)) {
		return 1;
	}
	if (image.profile && (image.profile_length < 20 || memcmp(image.profile + 16, "RGB ", 4))) {
		fprintf(stderr, "its colour profile is not about RGB\n");
		return 1;
	}
	if (!encode(&image, quality, &output, &length)) {
		return 1;
	}
	if (length >= len) {
		/* To fail is the way to say so: the header fields tell of another body already. */
		printf("%zu bytes would be %zu\n", len, length);
		return 2;
	}
	filter_write(output, length);
	return 0;
}

static int end(void)
{
	return 0;
}

int main(void)
{
	set_filter(begin, chunk, end);
	wait_for_requests();
}
