/* Files, as far as they are allowed.
 *
 * The URL is the path. Argument "read": its contents. "relative": the same, without the slash in
 * front. "write": appends a line. "link": where it points. "env": the variable of that name
 * (without the slash). "directory": the working directory. What fails is status 403 and the name
 * of the error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <tinykvm.h>
#include <unistd.h>

static char buffer[65536];

static void failed(void)
{
	const char *name = strerrorname_np(errno);
	backend_response(403, "text/plain", 10, name, strlen(name));
}

static void get(const char *url, const char *arg)
{
	if (strcmp(arg, "env") == 0) {
		const char *value = getenv(url + 1);
		if (value == NULL) {
			value = "(not set)";
		}
		backend_response(200, "text/plain", 10, value, strlen(value));
	}
	if (strcmp(arg, "directory") == 0) {
		if (getcwd(buffer, sizeof buffer) == NULL) {
			failed();
		}
		backend_response(200, "text/plain", 10, buffer, strlen(buffer));
	}
	if (strcmp(arg, "link") == 0) {
		ssize_t length = readlink(url, buffer, sizeof buffer);
		if (length < 0) {
			failed();
		}
		backend_response(200, "text/plain", 10, buffer, (size_t)length);
	}
	if (strcmp(arg, "relative") == 0) {
		url++;
	}
	int writes = strcmp(arg, "write") == 0;
	const char *path = strcmp(url, "/state") == 0 ? "state" : url;
	int fd = open(path, writes ? O_WRONLY | O_CREAT | O_APPEND : O_RDONLY, 0666);
	if (fd < 0) {
		failed();
	}
	ssize_t length = writes ? write(fd, "line\n", 5) : read(fd, buffer, sizeof buffer);
	if (length < 0) {
		failed();
	}
	backend_response(200, "text/plain", 10, buffer, writes ? 0 : (size_t)length);
}

int main(void)
{
	set_backend_get(get);
	wait_for_requests();
}
