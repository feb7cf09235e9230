/* The output is WebP. */
#include <stdio.h>

#include <webp/encode.h>
#include <webp/mux.h>

#include "image.h"

const char output_type[] = "image/webp";

bool encode(const struct image *image, int quality, const uint8_t **data, size_t *length)
{
	int width = (int)image->width, height = (int)image->height;
	int stride = width * (int)image->channels;
	uint8_t *output = NULL;
	*length = (image->channels == 4 ? WebPEncodeRGBA : WebPEncodeRGB)(
		image->pixels, width, height, stride, (float)quality, &output);
	*data = output;
	if (*length == 0) {
		fprintf(stderr, "WebP: %d x %d pixels can't be encoded\n", width, height);
		return false;
	}
	if (!image->profile) {
		return true;
	}
	WebPData picture = {output, *length}, profile = {image->profile, image->profile_length}, whole;
	WebPMux *mux = WebPMuxCreate(&picture, 0);
	if (!mux || WebPMuxSetChunk(mux, "ICCP", &profile, 0) != WEBP_MUX_OK
	    || WebPMuxAssemble(mux, &whole) != WEBP_MUX_OK) {
		fprintf(stderr, "WebP: the colour profile can't be added\n");
		return false;
	}
	*data = whole.bytes;
	*length = whole.size;
	return true;
}
