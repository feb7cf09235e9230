/* Names: directories, links, renaming, status, the working directory, and the library above. */
#define IN_DIRECTORY
#include "case.h"
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <sys/statfs.h>

static char buffer[100000];
static void make(const char *name) { close(open(name, O_RDWR | O_CREAT, 0644)); }

static void list(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);
	printf("%s:", directory);
	if (count < 0)
		printf(" %s", error_name(errno));
	for (int i = 0; i < count; i++)
		printf(" %s/%d", entries[i]->d_name, entries[i]->d_type);
	putchar('\n');
}

CASE(links_with_a_slash)
{
	struct stat found;
	make("file");
	SHOW(mkdir("sub", 0755));
	SHOW(symlink("sub", "link"));
	SHOW(symlink("file", "to file"));
	SHOW(symlink("absent", "dangling"));
	const char *names[] = {"link/", "link//", "link/.", "./link/", "sub/../link/", "to file/",
	                       "dangling/", "file/", "sub/"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *name = names[i];
		SAY("%s", name);
		TRY(open(name, O_RDONLY));
		TRY(open(name, O_RDONLY | O_NOFOLLOW));
		TRY(open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
		TRY(open(name, O_PATH | O_NOFOLLOW));
		SHOW(open(name, O_WRONLY));
		SHOW(open(name, O_RDWR | O_CREAT, 0644));
		SHOW(open(name, O_RDWR | O_CREAT | O_EXCL, 0644));
		SHOW(lstat(name, &found));
		SHOW(found.st_mode & S_IFMT);
		SHOW(readlink(name, buffer, sizeof buffer));
		SHOW(faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW));
		SHOW(utimensat(AT_FDCWD, name, NULL, AT_SYMLINK_NOFOLLOW));
		SHOW(mkdir(name, 0755));
		SHOW(unlink(name));
		SHOW(rmdir(name));
		SHOW(link(name, "other"));
		SHOW(rename(name, name));
		SHOW(truncate(name, 0));
		int moved = chdir(name);
		SHOW(moved);
		if (moved == 0)
			SHOW(chdir(".."));
		SHOW(mkdir("sub", 0755));
	}
}

CASE(listing)
{
	SHOW(mkdir("sub", 0755));
	make("one"), make("two"), make("sub/three");
	SHOW(symlink("one", "link"));
	list(".");
	list("sub");
	list("one");
	list("absent");
}

CASE(listing_many)
{
	char name[20];
	int count = 0;
	SHOW(mkdir("many", 0755));
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof name, "many/%04d", i);
		make(name);
	}
	DIR *directory = opendir("many");
	while (readdir(directory))
		count++;
	SAY("%d", count);
	rewinddir(directory);
	for (count = 0; readdir(directory); count++)
		;
	SAY("%d", count);
	rewinddir(directory);
	for (int i = 0; i < 700; i++)
		readdir(directory);
	long place = telldir(directory);
	char after[256];
	strcpy(after, readdir(directory)->d_name);
	for (int i = 0; i < 300; i++)
		readdir(directory);
	seekdir(directory, place);
	IS(!strcmp(after, readdir(directory)->d_name));
	closedir(directory);
}

CASE(entries_by_system_call)
{
	make("file");
	int directory = open(".", O_RDONLY | O_DIRECTORY);
	SHOW(syscall(SYS_getdents64, directory, buffer, 5));
	SHOW(syscall(SYS_getdents64, directory, NOWHERE, 4096));
	IS(syscall(SYS_getdents64, directory, buffer, 4096) > 0);
	SHOW(syscall(SYS_getdents64, directory, buffer, 4096));
	SHOW(lseek(directory, 0, SEEK_SET));
	IS(syscall(SYS_getdents64, directory, buffer, 4096) > 0);
	SHOW(syscall(SYS_getdents64, open("file", O_RDONLY), buffer, 4096));
	SHOW(syscall(SYS_getdents64, NO_FD, buffer, 4096));
}

CASE(making_and_removing)
{
	SHOW(mkdir("a", 0755));
	SHOW(mkdir("a", 0755));
	SHOW(mkdir("a/b", 0755));
	SHOW(mkdir("x/y", 0755));
	make("file");
	SHOW(mkdir("file", 0755));
	SHOW(mkdir("file/x", 0755));
	SHOW(rmdir("a"));
	SHOW(rmdir("file"));
	SHOW(rmdir("a/b"));
	SHOW(rmdir("a/."));
	SHOW(rmdir("absent"));
	SHOW(unlink("a"));
	SHOW(rmdir("a/"));
	SHOW(unlink("file"));
	SHOW(unlink("file"));
	SHOW(mkdir("", 0755));
	SHOW(mkdir(NOWHERE, 0755));
	SHOW(unlinkat(AT_FDCWD, "absent", 0x77));
	list(".");
}

CASE(renaming)
{
	make("one"), make("two");
	SHOW(mkdir("sub", 0755));
	SHOW(mkdir("empty", 0755));
	SHOW(rename("one", "three"));
	SHOW(rename("three", "two"));
	SHOW(rename("two", "sub/two"));
	SHOW(rename("absent", "x"));
	SHOW(rename("sub", "sub/below"));
	SHOW(rename("sub/two", "empty"));
	SHOW(rename("empty", "sub/two"));
	SHOW(rename("empty", "sub"));
	SHOW(rename("sub", "empty"));
	SHOW(rename("empty/two", "empty/two"));
	SHOW(rename("", "x"));
	SHOW(rename("empty", NOWHERE));
	list("."), list("empty");
}

CASE(renaming_with_flags)
{
	make("one"), make("two");
	SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "three", RENAME_EXCHANGE));
	SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "absent", RENAME_EXCHANGE));
	SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "three", RENAME_EXCHANGE | RENAME_NOREPLACE));
	SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "three", 0x100));
	list(".");
}

static void status(const char *name)
{
	struct stat it;
	if (lstat(name, &it))
		SAY("%s: %s", name, error_name(errno));
	else
		SAY("%s: mode %o, %ld links, %ld bytes", name, it.st_mode,
		    S_ISDIR(it.st_mode) ? 0 : (long)it.st_nlink, S_ISREG(it.st_mode) ? (long)it.st_size : 0);
}

CASE(hard_links)
{
	make("one");
	SHOW(link("one", "two"));
	SHOW(link("one", "two"));
	SHOW(link("absent", "x"));
	SHOW(mkdir("sub", 0755));
	SHOW(link("one", "sub/three"));
	status("one");
	struct stat one, other;
	stat("one", &one), stat("sub/three", &other);
	IS(one.st_ino == other.st_ino && one.st_dev == other.st_dev);
	SHOW(unlink("one"));
	status("two");
	SHOW(symlink("two", "link"));
	SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "of the link", 0));
	SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	status("of the link"), status("followed");
}

CASE(symbolic_links)
{
	make("file");
	SHOW(symlink("file", "link"));
	SHOW(symlink("file", "link"));
	SHOW(symlink("", "empty"));
	SHOW(readlink("link", buffer, 100));
	SHOW(readlink("link", buffer, 2));
	SAY("%.2s", buffer);
	SHOW(readlink("link", buffer, 0));
	SHOW(readlink("file", buffer, 100));
	SHOW(readlink("absent", buffer, 100));
	SHOW(readlink("link", NOWHERE, 100));
	SHOW(symlink("/etc/passwd", "absolute"));
	SHOW(readlink("absolute", buffer, 100));
	struct stat it;
	SHOW(lstat("link", &it));
	SAY("%o %ld", it.st_mode & S_IFMT, (long)it.st_size);
	SHOW(stat("link", &it));
	SAY("%o", it.st_mode & S_IFMT);
	SHOW(mkdir("sub", 0755));
	SHOW(symlink("../file", "sub/up"));
	SHOW(access("sub/up", R_OK));
	SHOW(symlink("sub", "to sub"));
	SHOW(access("to sub/up", R_OK));
	SHOW(unlink("to sub"));
	list(".");
}

CASE(modes)
{
	umask(022);
	close(open("a", O_CREAT | O_RDWR, 0666));
	mkdir("b", 0777);
	status("a"), status("b");
	SAY("%o", umask(077));
	close(open("c", O_CREAT | O_RDWR, 0666));
	status("c");
	SHOW(chmod("a", 0400));
	SHOW(chmod("absent", 0400));
	status("a");
	SHOW(fchmod(open("c", O_RDONLY), 0755));
	SHOW(fchmodat(AT_FDCWD, "b", 0700, 0));
	status("b"), status("c");
	SHOW(access("c", X_OK));
	SHOW(access("a", F_OK));
	SHOW(access("a", 77));
	SHOW(access("absent", F_OK));
	SHOW(faccessat(AT_FDCWD, "c", R_OK | W_OK, AT_EACCESS));
}

CASE(times)
{
	struct stat it;
	struct timespec both[2] = {{1000000, 5}, {2000000, 7}}, omit[2] = {{0, UTIME_OMIT}, {3000000, 0}};
	make("file");
	SHOW(utimensat(AT_FDCWD, "file", both, 0));
	stat("file", &it);
	SAY("%ld.%ld %ld.%ld", it.st_atim.tv_sec, it.st_atim.tv_nsec, it.st_mtim.tv_sec, it.st_mtim.tv_nsec);
	SHOW(utimensat(AT_FDCWD, "file", omit, 0));
	stat("file", &it);
	SAY("%ld %ld", it.st_atim.tv_sec, it.st_mtim.tv_sec);
	SHOW(futimens(open("file", O_RDONLY), NULL));
	stat("file", &it);
	IS(it.st_mtim.tv_sec > 1700000000);
	SHOW(utimensat(AT_FDCWD, "absent", both, 0));
	both[0].tv_nsec = 1000000000;
	SHOW(utimensat(AT_FDCWD, "file", both, 0));
}

CASE(extended_status)
{
	struct statx it;
	make("file");
	SHOW(truncate("file", 1234));
	SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &it));
	SAY("%o %ld %ld", it.stx_mode, (long)it.stx_size, (long)it.stx_nlink);
	IS((it.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	SHOW(statx(AT_FDCWD, "", 0, STATX_BASIC_STATS, &it));
	int file = open("file", O_RDONLY);
	SHOW(statx(file, "", AT_EMPTY_PATH, STATX_SIZE, &it));
	SAY("%ld", (long)it.stx_size);
	SHOW(statx(NO_FD, "", AT_EMPTY_PATH, STATX_SIZE, &it));
	SHOW(statx(AT_FDCWD, "file", 0x77, STATX_SIZE, &it));
	SHOW(statx(AT_FDCWD, "file", 0, STATX_SIZE, NOWHERE));
	struct stat status;
	SHOW(fstatat(file, "", &status, AT_EMPTY_PATH));
	SHOW(fstatat(file, "x", &status, 0));
	SHOW(fstatat(AT_FDCWD, "file", &status, 0x77));
}

CASE(relative_to_a_directory)
{
	SHOW(mkdir("sub", 0755));
	int directory = open("sub", O_RDONLY | O_DIRECTORY);
	TRY(openat(directory, "file", O_RDWR | O_CREAT, 0644));
	SHOW(mkdirat(directory, "below", 0755));
	SHOW(symlinkat("file", directory, "link"));
	SHOW(readlinkat(directory, "link", buffer, 100));
	SHOW(faccessat(directory, "file", R_OK, 0));
	SHOW(renameat(directory, "file", AT_FDCWD, "moved"));
	SHOW(linkat(AT_FDCWD, "moved", directory, "back", 0));
	SHOW(unlinkat(directory, "below", 0));
	SHOW(unlinkat(directory, "below", AT_REMOVEDIR));
	list("sub"), list(".");
	TRY(openat(directory, "../moved", O_RDONLY));
	SHOW(openat(NO_FD, "file", O_RDONLY));
	SHOW(openat(open("moved", O_RDONLY), "file", O_RDONLY));
	SHOW(openat(0, "file", O_RDONLY));
}

CASE(working_directory)
{
	char start[PATH_MAX], now[PATH_MAX];
	IS(getcwd(start, sizeof start) != NULL);
	SHOW(mkdir("sub", 0755));
	SHOW(mkdir("sub/below", 0755));
	SHOW(symlink("sub/below", "link"));
	SHOW(chdir("link"));
	IS(getcwd(now, sizeof now) != NULL && !strncmp(now, start, strlen(start)));
	SAY("%s", now + strlen(start));
	SHOW(chdir(".."));
	getcwd(now, sizeof now);
	SAY("%s", now + strlen(start));
	make("file");
	SHOW(chdir("file"));
	SHOW(chdir("absent"));
	SHOW(chdir(start));
	int directory = open("sub", O_RDONLY);
	SHOW(fchdir(directory));
	SHOW(access("file", F_OK));
	SHOW(fchdir(open("file", O_RDONLY)));
	SHOW(fchdir(NO_FD));
	SHOW(syscall(SYS_getcwd, now, 3));
	SHOW(syscall(SYS_getcwd, NOWHERE, 100));
	SHOW(chdir(NOWHERE));
}

CASE(openat2_and_its_limits)
{
	struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0x08 /* RESOLVE_BENEATH */};
	SHOW(mkdir("sub", 0755));
	make("sub/file");
	SHOW(symlink("file", "sub/link"));
	int directory = open("sub", O_RDONLY);
	TRY(syscall(SYS_openat2, directory, "file", &how, sizeof how));
	SHOW(syscall(SYS_openat2, directory, "../sub/file", &how, sizeof how));
	SHOW(syscall(SYS_openat2, directory, "/", &how, sizeof how));
	how.resolve = 0x04; /* RESOLVE_NO_SYMLINKS */
	SHOW(syscall(SYS_openat2, directory, "link", &how, sizeof how));
	how.resolve = 0x100000;
	SHOW(syscall(SYS_openat2, directory, "file", &how, sizeof how));
	how.resolve = 0, how.mode = 0644;
	SHOW(syscall(SYS_openat2, directory, "file", &how, sizeof how));
	SHOW(syscall(SYS_openat2, directory, "file", &how, 8));
}

CASE(file_system_status)
{
	struct statfs it;
	make("file");
	SHOW(statfs(".", &it));
	IS(it.f_bsize > 0 && it.f_namelen == 255);
	SHOW(fstatfs(open("file", O_RDONLY), &it));
	SHOW(statfs("absent", &it));
	SHOW(fstatfs(NO_FD, &it));
	SHOW(statfs(".", NOWHERE));
}

CASE(links_of_descriptors)
{
	char name[64], start[PATH_MAX];
	make("file");
	int file = open("file", O_RDONLY);
	snprintf(name, sizeof name, "/proc/self/fd/%d", file);
	ssize_t count = readlink(name, buffer, sizeof buffer - 1);
	buffer[count < 0 ? 0 : count] = 0;
	IS(getcwd(start, sizeof start) && !strncmp(buffer, start, strlen(start)));
	SAY("%s", count < 0 ? "none" : buffer + strlen(start));
	TRY(open(name, O_RDONLY));
	SHOW(open("/proc/self/fd/900", O_RDONLY));
	int ends[2];
	TRY(pipe(ends));
	snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
	IS(readlink(name, buffer, sizeof buffer) > 6 && !strncmp(buffer, "pipe:[", 6));
}

CASE(devices)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), random = open("/dev/urandom", O_RDONLY);
	SHOW(read(null, buffer, 10));
	SHOW(write(null, buffer, 10));
	buffer[0] = 5;
	SHOW(read(zero, buffer, 10));
	SAY("%d", buffer[0]);
	SHOW(write(zero, buffer, 10));
	SHOW(read(random, buffer, 5000));
	struct stat it;
	SHOW(fstat(null, &it));
	SAY("%o %lx", it.st_mode & S_IFMT, (long)it.st_rdev);
	SHOW(stat("/dev/zero", &it));
	SAY("%o %lx", it.st_mode & S_IFMT, (long)it.st_rdev);
	SHOW(lseek(null, 5, SEEK_SET));
	SHOW(open("/dev/absent", O_RDONLY));
}

CASE(buffered_files)
{
	FILE *file = fopen("file", "w+");
	IS(file != NULL);
	for (int i = 0; i < 2000; i++)
		fprintf(file, "line %d\n", i);
	SHOW(fseek(file, 0, SEEK_SET));
	int lines = 0;
	while (fgets(buffer, sizeof buffer, file))
		lines++;
	SAY("%d %ld", lines, ftell(file));
	SHOW(fseek(file, 5, SEEK_SET));
	SAY("%c", fgetc(file));
	SHOW(ungetc('x', file));
	SHOW(fputs("y", file) < 0 ? -1 : 0);
	SHOW(fclose(file));
	file = fopen("file", "a");
	fputs("end", file);
	fclose(file);
	struct stat it;
	stat("file", &it);
	SAY("%ld", (long)it.st_size);
	IS(fopen("absent", "r") == NULL && errno == ENOENT);
	IS(freopen("other", "w", stderr) != NULL);
	fputs("text", stderr);
	fclose(stderr);
	stat("other", &it);
	SAY("%ld", (long)it.st_size);
}

static int visited;
static int visit(const char *path, const struct stat *it, int kind, struct FTW *where)
{
	visited += kind == FTW_F ? 1 : kind == FTW_D ? 100 : 10000;
	return 0;
}

CASE(library_functions_on_trees)
{
	SHOW(mkdir("a", 0755));
	SHOW(mkdir("a/b", 0755));
	make("a/one.txt"), make("a/two.c"), make("a/b/three.txt");
	SHOW(symlink("b/three.txt", "a/link"));
	SHOW(nftw("a", visit, 10, FTW_PHYS));
	SAY("%d", visited);
	glob_t found;
	SHOW(glob("a/*.txt", 0, NULL, &found));
	SAY("%d %s", (int)found.gl_pathc, found.gl_pathv[0]);
	char *real = realpath("a/b/../link", NULL), *here = realpath(".", NULL);
	SAY("%s", real && here ? real + strlen(here) : "none");
	IS(realpath("a/absent", NULL) == NULL && errno == ENOENT);
	char name[] = "temporary-XXXXXX";
	IS(mkstemp(name) >= 0);
	char directory[] = "directory-XXXXXX";
	IS(mkdtemp(directory) != NULL);
	SHOW(remove(directory));
}
