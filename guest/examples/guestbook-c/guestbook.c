/* A guest book: pages made of templates, and a file with what visitors wrote.
 *
 * GET /NAME shows the template NAME.html, with the entries in place of <!-- entries -->, and their
 * number in place of <!-- count -->. POST appends the body to the entries. Where both directories
 * are is said by the environment. What the program may not do is status 403: it checks no path
 * itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <tinykvm.h>
#include <unistd.h>

enum { LONGEST_ENTRY = 1000, ROOM = 1 << 20 };

/* Memory of this request alone: it is empty again for the next. */
static char file[ROOM], page[ROOM];
static size_t length;

static void failed(const char *what)
{
	char text[200];
	int status = errno == ENOENT ? 404 : errno == EACCES ? 403 : 500;
	snprintf(text, sizeof text, "%s: %s\n", what, strerror(errno));
	backend_response_str((int16_t)status, "text/plain", text);
}

/* A file of one of the two directories. */
static int open_in(const char *variable, const char *name, int flags)
{
	char path[1000];
	const char *directory = getenv(variable);
	snprintf(path, sizeof path, "%s/%s", directory ? directory : "", name);
	return open(path, flags, 0666);
}

/* Reads a file as a string; fd may be -1. */
static const char *contents(int fd)
{
	ssize_t count = fd < 0 ? 0 : read(fd, file, sizeof file - 1);
	file[count < 0 ? 0 : count] = '\0';
	close(fd);
	return file;
}

static void put(const char *text, size_t count)
{
	if (length + count > sizeof page) {
		count = sizeof page - length;
	}
	memcpy(page + length, text, count);
	length += count;
}

/* Visitors write text, not HTML. A line is an entry. */
static void put_entries(const char *entries)
{
	for (const char *at = entries; *at != '\0'; at++) {
		const char *as = *at == '<' ? "&lt;" : *at == '&' ? "&amp;" : *at == '\n' ? "<br>\n" : NULL;
		if (as != NULL) {
			put(as, strlen(as));
		} else {
			put(at, 1);
		}
	}
}

static void put_count(const char *entries)
{
	char text[20];
	int count = 0;
	for (const char *at = entries; (at = strchr(at, '\n')) != NULL; at++) {
		count++;
	}
	put(text, (size_t)snprintf(text, sizeof text, "%d", count));
}

static void get(const char *url, const char *arg)
{
	(void)arg;
	static const struct {
		const char *mark;
		void (*put)(const char *entries);
	} marks[] = {{"<!-- entries -->", put_entries}, {"<!-- count -->", put_count}};
	static char template[ROOM];
	char name[500];
	snprintf(name, sizeof name, "%s.html", url[1] ? url + 1 : "index");
	int fd = open_in("TINYKVM_TEMPLATES", name, O_RDONLY);
	if (fd < 0) {
		failed(name);
	}
	strcpy(template, contents(fd));
	/* Nobody may have written yet. */
	const char *entries = contents(open_in("TINYKVM_BOOK", "entries", O_RDONLY));
	for (const char *at = template; *at != '\0';) {
		size_t found = 0;
		for (int i = 0; i < 2 && !found; i++) {
			size_t size = strlen(marks[i].mark);
			if (strncmp(at, marks[i].mark, size) == 0) {
				marks[i].put(entries);
				found = size;
			}
		}
		if (!found) {
			put(at, 1);
		}
		at += found ? found : 1;
	}
	backend_response(200, "text/html", strlen("text/html"), page, length);
}

/* Appends a line, all at once, so that several requests can do it at the same time. */
static void post(const char *url, const char *arg, const char *content_type, const uint8_t *data,
                 size_t len)
{
	(void)url;
	(void)arg;
	(void)content_type;
	char line[LONGEST_ENTRY + 1];
	size_t size = len < LONGEST_ENTRY ? len : LONGEST_ENTRY;
	for (size_t i = 0; i < size; i++) {
		line[i] = data[i] < ' ' ? ' ' : (char)data[i];
	}
	line[size++] = '\n';
	int fd = open_in("TINYKVM_BOOK", "entries", O_WRONLY | O_CREAT | O_APPEND);
	if (fd < 0 || write(fd, line, size) != (ssize_t)size) {
		failed("entries");
	}
	backend_response_str(201, "text/plain", "Thank you\n");
}

int main(void)
{
	set_backend_get(get);
	set_backend_post(post);
	wait_for_requests();
}
