/* Sleeps a moment, and then longer than it is allowed to run. */
#include "check.h"
#include <time.h>
#include <unistd.h>

int main(void)
{
	struct timespec moment = { 0, 1000 };
	CHECK(nanosleep(&moment, NULL) == 0 && usleep(1) == 0);
	puts("slept");
	fflush(stdout);
	sleep(3600);
	return 1;
}
