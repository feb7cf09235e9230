/* A program that is a loop: each request resumes it behind the wait call.
 *
 *   /crash     executes an illegal instruction
 *   /loop      never answers
 *   /wait      waits again without an answer
 *   /return    leaves main
 *   others     the request, what was in local variables, and how often it went round
 *
 * Argument "keep": asks not to be reset after each request.
 */
#include <tinykvm.h>

static void on_error(const char *url, const char *arg, const char *exception)
{
	backend_response_str(555, "text/plain", exception);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int kept = strcmp(mode, "keep") == 0 ? sys_make_ephemeral(0) : 1;
	if (strcmp(mode, "on_error") == 0) {
		set_on_error(on_error);
	}
	char local[] = "local";
	double third = 1.0 / 3;
	for (int count = 1;; count++) {
		struct kvm_request it;
		char text[4096];
		wait_for_requests_paused(&it);
		if (strcmp(it.url, "/crash") == 0) {
			__builtin_trap();
		} else if (strcmp(it.url, "/loop") == 0) {
			for (;;) {
				__asm__ volatile("");
			}
		} else if (strcmp(it.url, "/wait") == 0) {
			continue;
		} else if (strcmp(it.url, "/return") == 0) {
			return 0;
		}
		snprintf(text, sizeof text,
		         "%s %s arg=%s type=%s body=%.*s headers=%u first=%s %s %.6f argv=%s kept=%d "
		         "count=%d",
		         it.method, it.url, it.arg, it.content_type, (int)it.content_len,
		         it.content ? (const char *)it.content : "", it.num_headers,
		         it.num_headers ? it.headers[0].field : "none", local, third, argv[0], kept,
		         count);
		backend_response_str(200, "text/plain", text);
	}
}
