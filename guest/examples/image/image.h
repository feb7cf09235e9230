/* A picture between two formats. Nothing is ever freed: the memory of a body is forgotten as a
 * whole. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	unsigned width, height;
	/* RGB or RGBA, line by line without gaps. */
	unsigned channels;
	uint8_t *pixels;
	/* The profile that its colours refer to, if it is not sRGB. */
	const uint8_t *profile;
	size_t profile_length;
};

/* Larger ones are left to those who have the memory. */
#define MAX_PIXELS (16u << 20)

/* False if it is no picture, or one that would not come out as it went in; that is reported. */
bool read_png(const uint8_t *data, size_t length, struct image *image);
bool read_jpeg(const uint8_t *data, size_t length, struct image *image);

/* Turns and mirrors a picture, as the EXIF field Orientation (1 to 8) says it is to be shown. */
void turn(struct image *image, unsigned orientation);

/* The format that the program writes: webp.c or avif.c. */
extern const char output_type[];
bool encode(const struct image *image, int quality, const uint8_t **data, size_t *length);

#endif
