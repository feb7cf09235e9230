/* Files in a directory that the program may write: opening, reading, writing, their offsets. */
#define IN_DIRECTORY
#include "case.h"
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static char buffer[100000];

static int make(const char *name, const char *text)
{
	int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
		SAY("cannot make %s: %s", name, error_name(errno));
	lseek(file, 0, SEEK_SET);
	return file;
}

static void contents(const char *name)
{
	int file = open(name, O_RDONLY);
	ssize_t count = file < 0 ? -1 : read(file, buffer, sizeof buffer);
	if (count < 0) {
		SAY("%s: %s", name, error_name(errno));
	} else {
		for (ssize_t i = 0; i < count; i++)
			if (!buffer[i])
				buffer[i] = '.';
		SAY("%s: [%.*s]", name, (int)(count > 60 ? 60 : count), buffer);
	}
	close(file);
}

CASE(open_and_create)
{
	SHOW(open("new", O_RDWR));
	TRY(open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
	SHOW(open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
	TRY(open("new", O_RDONLY));
	TRY(creat("other", 0600));
	SHOW(open("no/such/path", O_RDONLY | O_CREAT, 0644));
	SHOW(open("new/below", O_RDONLY));
	SHOW(open("", O_RDONLY));
	SHOW(open(NOWHERE, O_RDONLY));
	SHOW(open("new/", O_RDONLY));
	SHOW(open("made/", O_RDONLY | O_CREAT, 0644));
}

CASE(open_directories)
{
	SHOW(mkdir("directory", 0755));
	TRY(open("directory", O_RDONLY));
	SHOW(open("directory", O_RDWR));
	SHOW(open("directory", O_WRONLY));
	SHOW(open("directory", O_RDONLY | O_CREAT, 0644));
	TRY(open("directory", O_RDONLY | O_DIRECTORY));
	make("file", "text");
	SHOW(open("file", O_RDONLY | O_DIRECTORY));
	TRY(open("directory/", O_RDONLY));
	TRY(open("directory/../file", O_RDONLY));
	TRY(open("./directory/./../directory/../file", O_RDONLY));
	SHOW(read(open("directory", O_RDONLY), buffer, 10));
}

CASE(open_truncates)
{
	make("file", "some text");
	TRY(open("file", O_WRONLY));
	contents("file");
	TRY(open("file", O_WRONLY | O_TRUNC));
	contents("file");
}

CASE(open_links)
{
	make("file", "text");
	SHOW(symlink("file", "link"));
	SHOW(symlink("absent", "dangling"));
	SHOW(symlink("loop", "loop"));
	TRY(open("link", O_RDONLY));
	SHOW(open("link", O_RDONLY | O_NOFOLLOW));
	SHOW(open("dangling", O_RDONLY));
	SHOW(open("loop", O_RDONLY));
	SHOW(open("link", O_RDWR | O_CREAT | O_EXCL, 0644));
	TRY(open("dangling", O_RDWR | O_CREAT, 0644));
	contents("absent");
	TRY(open("link", O_PATH | O_NOFOLLOW));
}

CASE(long_names)
{
	static char name[5000];
	memset(name, 'a', sizeof name - 1);
	SHOW(open(name, O_RDONLY));
	name[4095] = 0;
	SHOW(open(name, O_RDONLY));
	name[256] = 0;
	SHOW(open(name, O_RDWR | O_CREAT, 0644));
	name[255] = 0;
	TRY(open(name, O_RDWR | O_CREAT, 0644));
	SHOW(unlink(name));
	SHOW(mkdir("d", 0755));
	for (int i = 0; i < 1000; i++)
		memcpy(name + (size_t)i * 2, "d/", 3), name[i * 2] = '.';
	strcat(name, "d");
	TRY(open(name, O_RDONLY));
}

CASE(odd_names)
{
	TRY(open("with space", O_RDWR | O_CREAT, 0644));
	TRY(open("\xff\xfe not utf-8", O_RDWR | O_CREAT, 0644));
	TRY(open("line\nbreak", O_RDWR | O_CREAT, 0644));
	TRY(open(".hidden", O_RDWR | O_CREAT, 0644));
	TRY(open("...", O_RDWR | O_CREAT, 0644));
	TRY(open("\xff\xfe not utf-8", O_RDONLY));
	TRY(open(".//with space", O_RDONLY));
}

CASE(access_modes)
{
	make("file", "text");
	int reader = open("file", O_RDONLY), writer = open("file", O_WRONLY), path = open("file", O_PATH);
	SHOW(write(reader, "x", 1));
	SHOW(read(writer, buffer, 1));
	SHOW(read(path, buffer, 1));
	SHOW(ftruncate(reader, 0));
	SHOW(fcntl(reader, F_GETFL) & O_ACCMODE);
	SHOW(fcntl(writer, F_GETFL) & O_ACCMODE);
	SHOW(fcntl(path, F_GETFL) & O_PATH);
	struct stat status;
	SHOW(fstat(path, &status));
	SHOW(fchmod(path, 0600));
	SHOW(lseek(path, 0, SEEK_SET));
	SHOW(pwrite(reader, "x", 1, 0));
	SHOW(open("file", O_RDONLY | O_WRONLY | O_RDWR) >= 0 ? 0 : -1);
}

CASE(offsets)
{
	int file = make("file", "0123456789");
	SHOW(read(file, buffer, 4));
	SHOW(lseek(file, 0, SEEK_CUR));
	SHOW(lseek(file, -2, SEEK_END));
	SHOW(read(file, buffer, 10));
	SHOW(read(file, buffer, 10));
	SHOW(lseek(file, -1, SEEK_SET));
	SHOW(lseek(file, -100, SEEK_CUR));
	SHOW(lseek(file, 0, 77));
	SHOW(lseek(file, 20, SEEK_SET));
	SHOW(read(file, buffer, 10));
	SHOW(write(file, "x", 1));
	SHOW(lseek(file, 0, SEEK_END));
	contents("file");
}

CASE(positional)
{
	int file = make("file", "0123456789");
	SHOW(pread(file, buffer, 3, 5));
	SAY("%.3s", buffer);
	SHOW(pwrite(file, "xy", 2, 8));
	SHOW(pwrite(file, "z", 1, 12));
	SHOW(lseek(file, 0, SEEK_CUR));
	SHOW(pread(file, buffer, 3, 100));
	SHOW(pread(file, buffer, 3, -1));
	SHOW(pwrite(file, buffer, 3, -1));
	struct iovec parts[2] = {{buffer, 2}, {buffer + 10, 3}};
	SHOW(preadv(file, parts, 2, 1));
	SHOW(pwritev(file, parts, 2, 20));
	SHOW(preadv2(file, parts, 2, -1, 0));
	SHOW(preadv2(file, parts, 2, 0, 0x4000));
	contents("file");
}

CASE(appending)
{
	make("file", "start");
	int file = open("file", O_RDWR | O_APPEND), other = open("file", O_RDWR | O_APPEND);
	SHOW(write(file, "+one", 4));
	SHOW(write(other, "+two", 4));
	SHOW(lseek(file, 0, SEEK_SET));
	SHOW(write(file, "+three", 6));
	SHOW(lseek(file, 0, SEEK_CUR));
	SHOW(pwrite(file, "!", 1, 0));
	SHOW(fcntl(file, F_SETFL, 0));
	SHOW(pwrite(file, "S", 1, 0));
	SHOW(fcntl(file, F_SETFL, O_APPEND));
	SHOW(write(file, ".", 1));
	contents("file");
}

CASE(duplicates_share_the_offset)
{
	int file = make("file", "0123456789"), copy = dup(file), other = open("file", O_RDONLY);
	SHOW(read(file, buffer, 3));
	SHOW(lseek(copy, 0, SEEK_CUR));
	SHOW(lseek(other, 0, SEEK_CUR));
	SHOW(lseek(copy, 7, SEEK_SET));
	SHOW(read(file, buffer, 10));
	close(file);
	SHOW(lseek(copy, 0, SEEK_CUR));
	SHOW(fcntl(copy, F_SETFL, O_APPEND));
	SHOW(fcntl(other, F_GETFL) & O_APPEND);
}

CASE(truncating)
{
	int file = make("file", "0123456789");
	SHOW(ftruncate(file, 5));
	contents("file");
	SHOW(ftruncate(file, 8));
	contents("file");
	SHOW(truncate("file", 2));
	contents("file");
	SHOW(ftruncate(file, -1));
	SHOW(truncate("file", -1));
	SHOW(truncate("absent", 0));
	SHOW(truncate(".", 0));
	SHOW(truncate(NOWHERE, 0));
	SHOW(ftruncate(open("file", O_RDONLY), 0));
	SHOW(lseek(file, 0, SEEK_CUR));
}

CASE(vectors)
{
	char one[4] = "", two[8] = "";
	int file = make("file", "0123456789");
	struct iovec in[3] = {{one, 3}, {NULL, 0}, {two, 20}}, out[2] = {{"ab", 2}, {"cde", 3}};
	in[2].iov_len = 7;
	SHOW(readv(file, in, 3));
	SAY("%.3s %.7s", one, two);
	SHOW(readv(file, in, 3));
	SHOW(writev(file, out, 2));
	contents("file");
	in[2].iov_base = NOWHERE;
	lseek(file, 0, SEEK_SET);
	SHOW(readv(file, in, 3));
	in[0].iov_base = NOWHERE;
	SHOW(readv(file, in, 3));
}

CASE(large_transfers)
{
	int file = make("file", "");
	memset(buffer, 'x', sizeof buffer);
	for (int i = 0; i < 20; i++)
		if (write(file, buffer, sizeof buffer) != sizeof buffer)
			SAY("short write");
	SHOW(lseek(file, 0, SEEK_END));
	char *all = malloc(3000000);
	SHOW(pread(file, all, 3000000, 0));
	SAY("%c", all[1999999]);
	SHOW(pread(file, all, 3000000, 1999990));
	SHOW(pread(file, NOWHERE, 3000000, 0));
}

CASE(bad_memory)
{
	int file = make("file", "0123456789");
	SHOW(read(file, NOWHERE, 5));
	SHOW(write(file, NOWHERE, 5));
	SHOW(pread(file, NOWHERE, 5, 0));
	SHOW(pwrite(file, NOWHERE, 5, 0));
	SHOW(read(file, NOWHERE, 0));
	SHOW(lseek(file, 0, SEEK_CUR));
	SHOW(read(NO_FD, NOWHERE, 5));
	contents("file");
}

CASE(copying)
{
	int from = make("from", "0123456789"), to = make("to", "");
	off_t offset = 2;
	SHOW(sendfile(to, from, &offset, 5));
	SAY("%ld", (long)offset);
	SHOW(lseek(from, 0, SEEK_CUR));
	SHOW(sendfile(to, from, NULL, 3));
	SHOW(lseek(from, 0, SEEK_CUR));
	SHOW(sendfile(to, from, NULL, 100));
	SHOW(sendfile(to, from, NULL, 100));
	contents("to");
	SHOW(sendfile(to, NO_FD, NULL, 1));
	SHOW(sendfile(NO_FD, from, NULL, 1));
	SHOW(sendfile(open("to", O_RDONLY), from, NULL, 1));
	int ends[2] = {-1, -1};
	TRY(pipe(ends));
	offset = 0;
	SHOW(sendfile(ends[1], from, &offset, 4));
	SHOW(read(ends[0], buffer, 100));
}

CASE(copying_ranges)
{
	int from = make("from", "0123456789"), to = make("to", "");
	off_t in = 1, out = 3;
	SHOW(copy_file_range(from, &in, to, &out, 4, 0));
	SAY("%ld %ld", (long)in, (long)out);
	SHOW(copy_file_range(from, NULL, to, NULL, 2, 0));
	SHOW(lseek(from, 0, SEEK_CUR));
	contents("to");
	SHOW(copy_file_range(from, NULL, to, NULL, 2, 1));
	SHOW(copy_file_range(from, NULL, open("to", O_RDONLY), NULL, 2, 0));
	SHOW(copy_file_range(NO_FD, NULL, to, NULL, 2, 0));
}

CASE(synchronising)
{
	int file = make("file", "text"), ends[2] = {-1, -1};
	SHOW(fsync(file));
	SHOW(fdatasync(file));
	SHOW(sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE));
	SHOW(fsync(NO_FD));
	SHOW_ERROR(posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
	SHOW_ERROR(posix_fadvise(file, 0, 0, 77));
	SHOW_ERROR(posix_fadvise(NO_FD, 0, 0, 0));
	TRY(pipe(ends));
	SHOW_ERROR(posix_fadvise(ends[0], 0, 0, 0));
	SHOW(readahead(file, 0, 10));
}

CASE(record_locks)
{
	int file = make("file", "0123456789"), other = open("file", O_RDWR);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	SHOW(fcntl(file, F_SETLK, &lock));
	SHOW(fcntl(other, F_SETLK, &lock));
	SHOW(fcntl(file, F_GETLK, &lock));
	SAY("%d", lock.l_type == F_UNLCK);
	lock.l_type = 77;
	SHOW(fcntl(file, F_SETLK, &lock));
	lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = -1};
	SHOW(fcntl(file, F_SETLK, &lock));
	lock.l_start = 0;
	SHOW(fcntl(open("file", O_RDONLY), F_SETLK, &lock));
	SHOW(fcntl(file, F_SETLKW, &lock));
	SHOW(fcntl(file, F_SETLK, NOWHERE));
}

CASE(locks_of_descriptions)
{
	int file = make("file", "0123456789"), other = open("file", O_RDWR);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	SHOW(fcntl(file, F_OFD_SETLK, &lock));
	SHOW(fcntl(other, F_OFD_SETLK, &lock));
	SHOW(fcntl(other, F_OFD_GETLK, &lock));
	SAY("%d %ld %ld", lock.l_type == F_WRLCK, (long)lock.l_start, (long)lock.l_len);
	lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 3};
	SHOW(fcntl(other, F_OFD_SETLK, &lock));
	close(file);
	lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	SHOW(fcntl(other, F_OFD_SETLK, &lock));
}

CASE(whole_file_locks)
{
	int file = make("file", "text"), other = open("file", O_RDONLY);
	SHOW(flock(file, LOCK_SH));
	SHOW(flock(other, LOCK_SH | LOCK_NB));
	SHOW(flock(other, LOCK_EX | LOCK_NB));
	SHOW(flock(file, LOCK_UN));
	SHOW(flock(other, LOCK_EX | LOCK_NB));
	SHOW(flock(file, LOCK_SH | LOCK_NB));
	close(other);
	SHOW(flock(file, LOCK_EX | LOCK_NB));
	SHOW(flock(file, 77));
	SHOW(flock(NO_FD, LOCK_EX));
}

CASE(deleted_but_open)
{
	struct stat status;
	int file = make("file", "text");
	SHOW(unlink("file"));
	SHOW(fstat(file, &status));
	SAY("%ld links", (long)status.st_nlink);
	SHOW(read(file, buffer, 10));
	SHOW(write(file, "more", 4));
	SHOW(pread(file, buffer, 10, 0));
	SHOW(open("file", O_RDONLY));
}

CASE(mapped_privately)
{
	int file = make("file", "0123456789");
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	IS(at != MAP_FAILED);
	close(file);
	SAY("%.10s %d", at, at[10]);
	at[0] = 'x';
	contents("file");
	SAY("%.3s", at);
}

CASE(mapped_read_only)
{
	make("file", "0123456789");
	int file = open("file", O_RDONLY);
	char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	IS(at != MAP_FAILED);
	SAY("%.10s", at);
	IS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED && errno == EACCES);
	IS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0) != MAP_FAILED);
	IS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("file", O_WRONLY), 0) == MAP_FAILED && errno == EACCES);
	IS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0) == MAP_FAILED && errno == ENODEV);
}

CASE(mapped_shared_and_written)
{
	int file = make("file", "0123456789");
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	SAY("%s", at == MAP_FAILED ? error_name(errno) : "mapped");
	if (at == MAP_FAILED)
		return;
	memcpy(at, "abc", 3);
	SHOW(msync(at, 4096, MS_SYNC));
	contents("file");
}

CASE(too_many_files)
{
	make("file", "text");
	int count = 0, error = 0, file;
	struct { unsigned long soft, hard; } limit = {64, 64};
	SHOW(syscall(SYS_prlimit64, 0, 7, &limit, NULL));
	while (count < 100) {
		file = open("file", O_RDONLY);
		if (file < 0) {
			error = errno;
			break;
		}
		count++;
		if (file >= 64)
			SAY("number %d", file);
	}
	IS(count >= 55 && count <= 61);
	SAY("%s", error_name(error));
	SHOW(dup(0));
	SHOW(fcntl(0, F_DUPFD, 64));
}
