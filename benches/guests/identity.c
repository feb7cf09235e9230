/* A filter that hands on what it gets. */
#include <tinykvm.h>

static int begin(const struct filter_start *start)
{
	(void)start;
	return TINYKVM_FILTER_TRANSFORM;
}

static int chunk(const uint8_t *data, size_t len)
{
	filter_write(data, len);
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
