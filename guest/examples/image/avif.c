/* The output is AVIF. */
#include <stdio.h>

#include <avif/avif.h>

#include "image.h"

const char output_type[] = "image/avif";

enum {
	/* 0 to 10; slower ones are for pictures that are made once for all. */
	SPEED = 9,
};

static bool failed(const char *what, avifResult result)
{
	if (result != AVIF_RESULT_OK) {
		fprintf(stderr, "AVIF: %s: %s\n", what, avifResultToString(result));
	}
	return result != AVIF_RESULT_OK;
}

bool encode(const struct image *image, int quality, const uint8_t **data, size_t *length)
{
	avifImage *picture =
		avifImageCreate((int)image->width, (int)image->height, 8, AVIF_PIXEL_FORMAT_YUV420);
	avifRGBImage rgb;
	avifRGBImageSetDefaults(&rgb, picture);
	rgb.format = image->channels == 4 ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
	rgb.pixels = image->pixels;
	rgb.rowBytes = image->width * image->channels;
	picture->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_BT601;
	if (image->profile) {
		avifImageSetProfileICC(picture, image->profile, image->profile_length);
	} else {
		picture->colorPrimaries = AVIF_COLOR_PRIMARIES_BT709;
		picture->transferCharacteristics = AVIF_TRANSFER_CHARACTERISTICS_SRGB;
	}
	if (failed("colours", avifImageRGBToYUV(picture, &rgb))) {
		return false;
	}
	avifEncoder *encoder = avifEncoderCreate();
	encoder->codecChoice = AVIF_CODEC_CHOICE_AOM;
	encoder->speed = SPEED;
	/* From 63, the worst, to 0. */
	encoder->maxQuantizer = (100 - quality) * AVIF_QUANTIZER_WORST_QUALITY / 100;
	encoder->minQuantizer = encoder->maxQuantizer > 10 ? encoder->maxQuantizer - 10 : 0;
	encoder->minQuantizerAlpha = encoder->minQuantizer;
	encoder->maxQuantizerAlpha = encoder->maxQuantizer;
	avifRWData output = AVIF_DATA_EMPTY;
	if (failed("encoder", avifEncoderWrite(encoder, picture, &output))) {
		return false;
	}
	*data = output.data;
	*length = output.size;
	return true;
}
