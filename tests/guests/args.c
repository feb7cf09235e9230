/* What a program finds when it starts, and whether it is still there in a request.
 *
 *   /argv, /env, /auxv, /ids   as main() saw it
 *   /now                       argv as it is now
 *   /env/NAME                  the value of one variable, now
 */
#include <elf.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <tinykvm.h>
#include <unistd.h>

extern char **environ;
static char **arguments;
static char text[4][16384]; /* argv, env, auxv, ids */

static void add(char *to, const char *line)
{
	strcat(strcat(to, line), "\n");
}

static void dump(char *to, char **list)
{
	for (; *list != NULL; list++) {
		add(to, *list);
	}
}

/* The vector lies behind the environment. Values that differ between machines are left out. */
static void dump_auxv(char *to)
{
	char **end = environ;
	while (*end != NULL) {
		end++;
	}
	for (const Elf64_auxv_t *it = (const Elf64_auxv_t *)(end + 1); it->a_type != AT_NULL; it++) {
		char line[100];
		unsigned long value = it->a_un.a_val;
		switch (it->a_type) {
		case AT_PAGESZ:
		case AT_CLKTCK:
		case AT_PHENT:
		case AT_UID:
		case AT_EUID:
		case AT_GID:
		case AT_EGID:
		case AT_SECURE:
			snprintf(line, sizeof line, "%lu=%lu", it->a_type, value);
			break;
		case AT_PLATFORM:
			snprintf(line, sizeof line, "%lu=%s", it->a_type, (const char *)value);
			break;
		default:
			snprintf(line, sizeof line, "%lu", it->a_type);
		}
		add(to, line);
	}
}

static void dump_ids(char *to)
{
	char line[1000], cwd[500];
	struct utsname name;
	snprintf(line, sizeof line, "pid=%d ppid=%d uid=%d euid=%d gid=%d egid=%d", getpid(),
	         getppid(), getuid(), geteuid(), getgid(), getegid());
	add(to, line);
	if (getcwd(cwd, sizeof cwd) != NULL) {
		snprintf(line, sizeof line, "cwd=%s", cwd);
		add(to, line);
	}
	if (uname(&name) == 0) {
		snprintf(line, sizeof line, "system=%s machine=%s", name.sysname, name.machine);
		add(to, line);
	}
	snprintf(line, sizeof line, "stack=%s", (unsigned long)arguments % 16 == 8 ? "ok" : "odd");
	add(to, line);
}

static void get(const char *url, const char *arg)
{
	static const char *const names[] = {"/argv", "/env", "/auxv", "/ids"};
	for (int i = 0; i < 4; i++) {
		if (strcmp(url, names[i]) == 0) {
			backend_response_str(200, "text/plain", text[i]);
		}
	}
	if (strcmp(url, "/now") == 0) {
		char now[4096] = "";
		dump(now, arguments);
		backend_response_str(200, "text/plain", now);
	} else if (strncmp(url, "/env/", 5) == 0) {
		const char *value = getenv(url + 5);
		backend_response_str(200, "text/plain", value ? value : "(unset)");
	}
	backend_response_str(404, "text/plain", "not found");
}

int main(int argc, char **argv)
{
	arguments = argv;
	dump(text[0], argv);
	dump(text[1], environ);
	dump_auxv(text[2]);
	dump_ids(text[3]);
	if (argv[argc] != NULL) {
		add(text[0], "(not terminated)");
	}
	set_backend_get(get);
	wait_for_requests();
}
