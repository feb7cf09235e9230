// A transcoder of images on Debian's shared libraries: WebP in, PNG out.
#include "../common/program.h"

#include <png.h>
#include <webp/decode.h>
#include <webp/encode.h>
#include <zlib.h>

#include <memory>
#include <stdexcept>
#include <vector>

namespace {

constexpr int size = 64;
using Bytes = std::vector<uint8_t>;

// A picture as a camera might have made it.
Bytes picture(unsigned number)
{
	Bytes pixels(size * size * 3);
	for (int y = 0; y < size; y++)
		for (int x = 0; x < size; x++) {
			uint8_t *pixel = &pixels[(y * size + x) * 3];
			pixel[0] = uint8_t(x * 4 + number);
			pixel[1] = uint8_t(y * 4);
			pixel[2] = uint8_t((x * y + number * 7) / 16);
		}
	return pixels;
}

Bytes webp(const Bytes &pixels)
{
	uint8_t *data = nullptr;
	size_t length = WebPEncodeRGB(pixels.data(), size, size, size * 3, 80, &data);
	if (length == 0)
		throw std::runtime_error("WebPEncodeRGB");
	Bytes copy(data, data + length);
	WebPFree(data);
	return copy;
}

void append(png_structp png, png_bytep data, png_size_t length)
{
	auto out = static_cast<Bytes *>(png_get_io_ptr(png));
	out->insert(out->end(), data, data + length);
}

Bytes to_png(const Bytes &in)
{
	int width = 0, height = 0;
	std::unique_ptr<uint8_t, decltype(&WebPFree)> pixels(
	    WebPDecodeRGB(in.data(), in.size(), &width, &height), WebPFree);
	if (!pixels)
		throw std::runtime_error("WebPDecodeRGB");
	Bytes out;
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
	png_infop info = png_create_info_struct(png);
	png_set_write_fn(png, &out, append, nullptr);
	png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	             PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int y = 0; y < height; y++)
		png_write_row(png, pixels.get() + y * width * 3);
	png_write_end(png, nullptr);
	png_destroy_write_struct(&png, &info);
	return out;
}

} // namespace

static void answer(unsigned number)
{
	try {
		Bytes in = webp(picture(number));
		Bytes out = to_png(in);
		say("%zu bytes of WebP, %zu of PNG, checksum %08lx", in.size(), out.size(),
		    crc32(0, out.data(), static_cast<uInt>(out.size())));
	} catch (const std::exception &error) {
		say("error in %s", error.what());
	}
}

int main()
{
	return serve();
}
