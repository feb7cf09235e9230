/* A view of the Mandelbrot set as a PNG image, computed for each request.
 *
 *     /?x=-0.7435&y=0.1314&zoom=300&size=512&depth=500
 *
 * The same URL always gives the same bytes, so the answer may be cached for long. */
#include <tinykvm.h>

enum { MAX_SIZE = 1024 };

/* The image file, as far as it is written. */
static uint8_t png[MAX_SIZE * (MAX_SIZE + 6) + 2048];
static size_t used;

static void put(const void *bytes, size_t len)
{
	memcpy(png + used, bytes, len);
	used += len;
}

static void put32(uint32_t value)
{
	value = __builtin_bswap32(value);
	put(&value, 4);
}

/* A chunk is its length, name, contents, and a checksum of the last two. */
static size_t begin_chunk(const char *name)
{
	put32(0);
	put(name, 4);
	return used;
}

static void end_chunk(size_t start)
{
	uint32_t crc = ~0u;
	for (size_t i = start - 4; i < used; i++) {
		crc ^= png[i];
		for (int bit = 0; bit < 8; bit++) {
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
		}
	}
	uint32_t len = __builtin_bswap32((uint32_t)(used - start));
	memcpy(png + start - 8, &len, 4);
	put32(~crc);
}

/* The number behind `name` in the URL's query, within limits. */
static double parameter(const char *url, const char *name, double otherwise, double low, double high)
{
	size_t len = strlen(name);
	for (const char *at = strchr(url, '?'); at != NULL; at = strchr(at + 1, '&')) {
		if (strncmp(at + 1, name, len) == 0 && at[len + 1] == '=') {
			double value = strtod(at + len + 2, NULL);
			return value >= low ? (value <= high ? value : high) : low;
		}
	}
	return otherwise;
}

/* How soon a point leaves the circle of radius 2; `depth` if it has not by then. */
static int escape(double cx, double cy, int depth)
{
	int n = 0;
	for (double x = 0, y = 0, next; n < depth && x * x + y * y < 4; n++, x = next) {
		next = x * x - y * y + cx;
		y = 2 * x * y + cy;
	}
	return n;
}

static void get(const char *url, const char *arg)
{
	(void)arg;
	double x = parameter(url, "x", -0.5, -2, 2), y = parameter(url, "y", 0, -2, 2);
	double zoom = parameter(url, "zoom", 1, 0.1, 1e12);
	int size = (int)parameter(url, "size", 256, 16, MAX_SIZE);
	int depth = (int)parameter(url, "depth", 200, 10, 5000);

	put("\x89PNG\r\n\x1a\n", 8);
	size_t chunk = begin_chunk("IHDR");
	put32((uint32_t)size), put32((uint32_t)size);
	put("\x08\x03\0\0", 5); /* 8 bits, palette */
	end_chunk(chunk);
	chunk = begin_chunk("PLTE");
	for (int i = 0; i < 256; i++) { /* 0, black, is the set itself */
		put((uint8_t[3]){(uint8_t)(i * 5), (uint8_t)(i * 3), (uint8_t)(i * 11)}, 3);
	}
	end_chunk(chunk);

	/* Uncompressed deflate, one block per row; the last one is marked. */
	chunk = begin_chunk("IDAT");
	put("\x78\x01", 2);
	uint32_t a = 1, b = 0, row = (uint32_t)size + 1;
	for (int j = 0; j < size; j++) {
		const uint8_t head[6] = {j == size - 1, (uint8_t)row, (uint8_t)(row >> 8),
		                         (uint8_t)~row, (uint8_t)(~row >> 8), 0};
		put(head, 6); /* the last byte: this row has no filter */
		b = (b + a) % 65521;
		for (int i = 0; i < size; i++) {
			double scale = 3 / (zoom * size);
			int n = escape(x + (i - size / 2) * scale, y + (j - size / 2) * scale, depth);
			png[used] = n == depth ? 0 : (uint8_t)(n % 255 + 1);
			a = (a + png[used++]) % 65521;
			b = (b + a) % 65521;
		}
	}
	put32(b << 16 | a);
	end_chunk(chunk);
	end_chunk(begin_chunk("IEND"));
	set_cacheable(true, 86400, 60, 0);
	backend_response(200, "image/png", 9, png, used);
}

int main(void)
{
	set_backend_get(get);
	wait_for_requests();
}
