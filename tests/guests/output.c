/* What a program prints, before it is ready and in requests.
 *
 *   /stdout, /stderr, /log   one line: the argument
 *   /parts                   one line in three writes
 *   /lines                   three lines in one write
 *   /long                    one line of 100 000 bytes
 *   /binary                  bytes that are no text
 *   /flood                   prints without end
 */
#include <tinykvm.h>
#include <unistd.h>

static void get(const char *url, const char *arg)
{
	if (strcmp(url, "/stdout") == 0) {
		printf("%s\n", arg);
	} else if (strcmp(url, "/stderr") == 0) {
		fprintf(stderr, "%s\n", arg);
	} else if (strcmp(url, "/log") == 0) {
		sys_log(arg, strlen(arg));
	} else if (strcmp(url, "/parts") == 0) {
		setvbuf(stdout, NULL, _IONBF, 0);
		fputs("one ", stdout);
		fputs("two ", stdout);
		fputs("three\n", stdout);
	} else if (strcmp(url, "/lines") == 0) {
		puts("first\nsecond\nthird");
	} else if (strcmp(url, "/long") == 0) {
		for (int i = 0; i < 10000; i++) {
			fputs("0123456789", stdout);
		}
		puts("");
	} else if (strcmp(url, "/binary") == 0) {
		fwrite("a\0b\1c\r\xff\n", 1, 8, stdout);
	} else if (strcmp(url, "/flood") == 0) {
		for (;;) {
			puts("flood");
		}
	}
	fflush(stdout);
	backend_response_str(200, "text/plain", "printed");
}

int main(void)
{
	puts("hello from main");
	fputs("no newline from main", stderr);
	fflush(stdout);
	set_backend_get(get);
	wait_for_requests();
}
