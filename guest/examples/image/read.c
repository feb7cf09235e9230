/* PNG and JPEG. Both libraries report errors by not returning. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "image.h"

static bool has_right_size(uint64_t width, uint64_t height)
{
	if (width > 0 && height > 0 && width * height <= MAX_PIXELS) {
		return true;
	}
	fprintf(stderr, "%lu x %lu pixels\n", (unsigned long)width, (unsigned long)height);
	return false;
}

struct source {
	const uint8_t *data;
	size_t left;
};

static void take(png_structp png, png_bytep to, size_t length)
{
	struct source *source = png_get_io_ptr(png);
	if (length > source->left) {
		png_error(png, "it is cut off");
	}
	memcpy(to, source->data, length);
	source->data += length;
	source->left -= length;
}

static void png_failed(png_structp png, png_const_charp message)
{
	fprintf(stderr, "PNG: %s\n", message);
	png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static void read_rows(png_structp png, png_infop info, struct image *image)
{
	size_t stride = (size_t)image->width * image->channels;
	png_bytep *rows = malloc(image->height * sizeof *rows);
	image->pixels = malloc(image->height * stride);
	if (!rows || !image->pixels || png_get_rowbytes(png, info) != stride) {
		png_error(png, "no memory");
	}
	for (unsigned y = 0; y < image->height; y++) {
		rows[y] = image->pixels + y * stride;
	}
	png_read_image(png, rows);
	png_read_end(png, NULL);
}

bool read_png(const uint8_t *data, size_t length, struct image *image)
{
	struct source source = {data, length};
	if (memmem(data, length, "acTL", 4)) {
		fprintf(stderr, "PNG: it moves\n");
		return false;
	}
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_warned);
	png_infop info = png_create_info_struct(png);
	if (setjmp(png_jmpbuf(png))) {
		return false;
	}
	png_set_read_fn(png, &source, take);
	png_read_info(png, info);
	image->width = png_get_image_width(png, info);
	image->height = png_get_image_height(png, info);
	if (!has_right_size(image->width, image->height)) {
		return false;
	}
	png_charp name;
	int compression;
	png_bytep profile;
	png_uint_32 profile_length;
	if (png_get_iCCP(png, info, &name, &compression, &profile, &profile_length)) {
		image->profile = profile;
		image->profile_length = profile_length;
	}
	/* Whatever it is: 8 bits of red, green, blue, and alpha if there is some. */
	png_set_expand(png);
	png_set_scale_16(png);
	png_set_gray_to_rgb(png);
	png_set_interlace_handling(png);
	png_read_update_info(png, info);
	image->channels = png_get_channels(png, info);
	read_rows(png, info, image);
	return true;
}

struct jpeg {
	struct jpeg_decompress_struct reader;
	struct jpeg_error_mgr errors;
	jmp_buf failed;
};

static void jpeg_failed(j_common_ptr reader)
{
	struct jpeg *jpeg = (struct jpeg *)reader;
	char message[JMSG_LENGTH_MAX];
	jpeg->errors.format_message(reader, message);
	fprintf(stderr, "JPEG: %s\n", message);
	longjmp(jpeg->failed, 1);
}

/* A number in EXIF data, which says itself in which order its bytes are. */
static unsigned number(const uint8_t *at, unsigned length, bool big)
{
	unsigned value = 0;
	for (unsigned i = 0; i < length; i++) {
		value = value << 8 | at[big ? i : length - 1 - i];
	}
	return value;
}

/* How the picture is to be turned (1 to 8), as the camera noted. */
static unsigned orientation(struct jpeg_decompress_struct *reader)
{
	for (jpeg_saved_marker_ptr it = reader->marker_list; it; it = it->next) {
		if (it->marker != JPEG_APP0 + 1 || it->data_length < 14 || memcmp(it->data, "Exif\0", 6)) {
			continue;
		}
		const uint8_t *exif = it->data + 6;
		unsigned length = it->data_length - 6;
		bool big = exif[0] == 'M';
		unsigned at = number(exif + 4, 4, big);
		if (at > length - 2) {
			return 1;
		}
		unsigned count = number(exif + at, 2, big);
		at += 2;
		for (; count > 0 && length - at >= 12; count--, at += 12) {
			unsigned value = number(exif + at + 8, 2, big);
			if (number(exif + at, 2, big) == 0x112 && value >= 1 && value <= 8) {
				return value;
			}
		}
	}
	return 1;
}

bool read_jpeg(const uint8_t *data, size_t length, struct image *image)
{
	/* Not on the stack: what changes there is lost when the library gives up. */
	struct jpeg *jpeg = calloc(1, sizeof *jpeg);
	struct jpeg_decompress_struct *reader = &jpeg->reader;
	reader->err = jpeg_std_error(&jpeg->errors);
	jpeg->errors.error_exit = jpeg_failed;
	if (setjmp(jpeg->failed)) {
		return false;
	}
	jpeg_create_decompress(reader);
	jpeg_mem_src(reader, data, length);
	jpeg_save_markers(reader, JPEG_APP0 + 1, 0xffff);
	jpeg_save_markers(reader, JPEG_APP0 + 2, 0xffff);
	jpeg_read_header(reader, TRUE);
	if (!has_right_size(reader->image_width, reader->image_height)) {
		return false;
	}
	JOCTET *profile;
	unsigned profile_length;
	if (jpeg_read_icc_profile(reader, &profile, &profile_length)) {
		image->profile = profile;
		image->profile_length = profile_length;
	}
	unsigned turned = orientation(reader);
	reader->out_color_space = JCS_RGB;
	jpeg_start_decompress(reader);
	image->width = reader->output_width;
	image->height = reader->output_height;
	image->channels = 3;
	size_t stride = (size_t)image->width * image->channels;
	image->pixels = malloc(image->height * stride);
	if (!image->pixels) {
		return false;
	}
	while (reader->output_scanline < reader->output_height) {
		JSAMPROW row = image->pixels + reader->output_scanline * stride;
		jpeg_read_scanlines(reader, &row, 1);
	}
	if (reader->err->num_warnings > 0) {
		/* Half a picture is shown by browsers, and grows when the rest comes. */
		fprintf(stderr, "JPEG: it is damaged\n");
		return false;
	}
	turn(image, turned);
	return true;
}

void turn(struct image *image, unsigned orientation)
{
	unsigned width = image->width, height = image->height, channels = image->channels;
	/* From 5 on, lines become columns. */
	bool across = orientation >= 5;
	bool right_to_left = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
	bool upside_down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
	uint8_t *pixels = orientation > 1 ? malloc((size_t)width * height * channels) : NULL;
	if (!pixels) {
		return;
	}
	image->width = across ? height : width;
	image->height = across ? width : height;
	uint8_t *to = pixels;
	for (unsigned y = 0; y < image->height; y++) {
		for (unsigned x = 0; x < image->width; x++, to += channels) {
			unsigned from_x = across ? y : x, from_y = across ? x : y;
			from_x = right_to_left ? width - 1 - from_x : from_x;
			from_y = upside_down ? height - 1 - from_y : from_y;
			memcpy(to, image->pixels + ((size_t)from_y * width + from_x) * channels, channels);
		}
	}
	image->pixels = pixels;
}
