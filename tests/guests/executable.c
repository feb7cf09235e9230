/* Tries to execute code by every way of getting it into memory, for every place that it can come
 * from; tells all as lines "place/way: result".
 *
 *   /early     what main() mapped
 *   /small     a page of each
 *   /large/N   4 MiB of place N
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tinykvm.h>
#include <unistd.h>

#define PAGE 4096l
/* What is mapped of a place: more than the least part of a file that is mapped in place. */
#define LARGE (4l << 20)

/* mov eax, 42; ret */
static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};

static char text[128 << 10];
static size_t used;

static void tell(const char *place, const char *way, const char *result)
{
    used += (size_t)snprintf(text + used, sizeof text - used, "%s/%s: %s\n", place, way, result);
}

static const char *run(void *at)
{
    static char number[16];
    int (*function)(void) = at;
    sprintf(number, "%d", function());
    return number;
}

/* Code in a file that is open for writing, up to `size`. */
static int fill(int fd, long size)
{
    if (fd < 0 || pwrite(fd, code, sizeof code, 0) != sizeof code || ftruncate(fd, size))
        return -1;
    return fd;
}

static int file(const char *path, int flags, long size)
{
    return fill(open(path, flags | O_CREAT, 0600), size);
}

/* The same file opened anew. */
static int again(int fd, const char *path, int flags)
{
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : open(path, flags);
}

static int from_memory(long size)
{
    return fill(memfd_create("code", 0), size);
}

static int from_sealed(long size)
{
    int fd = fill(memfd_create("code", MFD_ALLOW_SEALING), size);
    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return fd;
}

static int from_reopened(long size)
{
    char path[64];
    sprintf(path, "/proc/self/fd/%d", from_memory(size));
    return open(path, O_RDONLY);
}

static int from_tree(long size)
{
    return file("/tree/code", O_RDWR, size);
}

static int from_tree_read(long size)
{
    return again(file("/tree/code", O_RDWR, size), "/tree/code", O_RDONLY);
}

static int from_tree_itself(long size)
{
    char path[64];
    sprintf(path, "/proc/self/fd/%d", file("/tree/code", O_RDWR, size));
    return open(path, O_RDONLY);
}

/* The same directory by a rule that lets it be read only. */
static int from_other_path(long size)
{
    return again(file("/tree/code", O_RDWR, size), "/same/code", O_RDONLY);
}

/* A directory in it, by such a rule. */
static int from_within(long size)
{
    return again(file("/tree/below/code", O_RDWR, size), "/within/code", O_RDONLY);
}

/* The directory above, by such a rule. */
static int from_above(long size)
{
    return again(file("/tree/code", O_RDWR, size), "/above/tree/code", O_RDONLY);
}

static int from_exact(long size)
{
    return again(file("/exact", O_RDWR, size), "/exact", O_RDONLY);
}

static int from_exact_other_path(long size)
{
    return again(file("/exact", O_RDWR, size), "/above/exact", O_RDONLY);
}

static int from_state(long size)
{
    return again(file("state", O_RDWR, size), "state", O_RDONLY);
}

/* A second name, which the host made, in a place that is read only. */
static int from_second_name(long size)
{
    return again(file("/tree/twice", O_RDWR, size), "/read/twice", O_RDONLY);
}

static int from_link(long size)
{
    unlink("/tree/link");
    if (file("/tree/code", O_RDWR, size) < 0 || symlink("code", "/tree/link"))
        return -1;
    return open("/tree/link", O_RDONLY);
}

static int from_moved(long size)
{
    int fd = file("/tree/code", O_RDWR, size);
    if (rename("/tree/code", "/tree/below/moved"))
        return -1;
    return again(fd, "/tree/below/moved", O_RDONLY);
}

static int from_removed(long size)
{
    int fd = again(file("/tree/code", O_RDWR, size), "/tree/code", O_RDONLY);
    unlink("/tree/code");
    return fd;
}

/* Not written by the program: these are code for everybody. */
static int from_read_only(long size)
{
    (void)size;
    return open("/read/code", O_RDONLY);
}

static int from_kept(long size)
{
    (void)size;
    return open("/tree/kept/code", O_RDONLY);
}

static const struct place {
    const char *name;
    int (*open)(long size);
} places[] = {
    {"memory", from_memory},
    {"sealed", from_sealed},
    {"reopened", from_reopened},
    {"tree", from_tree},
    {"tree read", from_tree_read},
    {"tree itself", from_tree_itself},
    {"other path", from_other_path},
    {"within", from_within},
    {"above", from_above},
    {"exact", from_exact},
    {"exact by other path", from_exact_other_path},
    {"state", from_state},
    {"second name", from_second_name},
    {"link", from_link},
    {"moved", from_moved},
    {"removed", from_removed},
    {"read only", from_read_only},
    {"kept", from_kept},
};

enum { PLACES = sizeof places / sizeof *places };

/* Ways give MAP_FAILED and errno, or code that can be called. */

static void *made_executable(void *at, long size)
{
    if (at == MAP_FAILED || mprotect(at, (size_t)size, PROT_READ | PROT_EXEC))
        return MAP_FAILED;
    return at;
}

static void *mapped(int fd, long size)
{
    return mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
}

static void *execute_only(int fd, long size)
{
    return mmap(0, (size_t)size, PROT_EXEC, MAP_PRIVATE, fd, 0);
}

static void *shared(int fd, long size)
{
    return mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
}

static void *fixed(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mmap(at, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
}

static void *low(int fd, long size)
{
    return mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_32BIT, fd, 0);
}

static void *protected(int fd, long size)
{
    return made_executable(mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0), size);
}

static void *from_none(int fd, long size)
{
    return made_executable(mmap(0, (size_t)size, PROT_NONE, MAP_SHARED, fd, 0), size);
}

static void *one_page(int fd, long size)
{
    return made_executable(mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0), PAGE);
}

static void *moved_then(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    void *to = mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return at;
    at = mremap(at, (size_t)size, (size_t)size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    return made_executable(at, size);
}

static void *grown_then(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return at;
    mmap((char *)at + size, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at = mremap(at, (size_t)size, (size_t)(2 * size), MREMAP_MAYMOVE);
    return made_executable(at, size);
}

static void *kept_then(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return at;
    at = mremap(at, (size_t)size, (size_t)size, MREMAP_MAYMOVE | 4 /* DONTUNMAP */, 0);
    return made_executable(at, size);
}

static void *read_in(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(at, (size_t)size, PROT_READ | PROT_WRITE);
    if (pread(fd, at, sizeof code, 0) != sizeof code)
        return MAP_FAILED;
    return made_executable(at, size);
}

/* The kernel's side does not write where the program may not. */
static void *read_into_code(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pread(fd, at, sizeof code, 0) != sizeof code)
        return MAP_FAILED;
    return at;
}

static void *written_privately(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    return made_executable(at, size);
}

static void *all_rights(int fd, long size)
{
    return mmap(0, (size_t)size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 0);
}

static void *by_key(int fd, long size)
{
    void *at = mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return at;
    if (syscall(SYS_pkey_mprotect, at, size, PROT_READ | PROT_EXEC, -1))
        return MAP_FAILED;
    return at;
}

static void *by_personality(int fd, long size)
{
    if (syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */) < 0)
        return MAP_FAILED;
    return mmap(0, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
}

static void *by_own_memory(int fd, long size)
{
    unsigned char bytes[sizeof code];
    void *at = mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int own = open("/proc/self/mem", O_RDWR);
    if (own < 0 || pread(fd, bytes, sizeof bytes, 0) < 0
        || pwrite(own, bytes, sizeof bytes, (off_t)at) != sizeof bytes)
        return MAP_FAILED;
    return at;
}

static void *by_process_write(int fd, long size)
{
    unsigned char bytes[sizeof code];
    void *at = mmap(0, (size_t)size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long from[2] = {(unsigned long)bytes, sizeof bytes};
    unsigned long to[2] = {(unsigned long)at, sizeof bytes};
    if (pread(fd, bytes, sizeof bytes, 0) < 0
        || syscall(SYS_process_vm_writev, getpid(), from, 1, to, 1, 0) < 0)
        return MAP_FAILED;
    return at;
}

static const struct way {
    const char *name;
    void *(*map)(int fd, long size);
} ways[] = {
    {"mapped", mapped},
    {"execute only", execute_only},
    {"shared", shared},
    {"fixed", fixed},
    {"low", low},
    {"protected", protected},
    {"from none", from_none},
    {"one page", one_page},
    {"moved", moved_then},
    {"grown", grown_then},
    {"kept", kept_then},
    {"read in", read_in},
    {"read into code", read_into_code},
    {"written privately", written_privately},
    {"all rights", all_rights},
    {"by key", by_key},
    {"by personality", by_personality},
    {"by own memory", by_own_memory},
    {"by process write", by_process_write},
};

enum { WAYS = sizeof ways / sizeof *ways };

/* What main() mapped, or why it could not. */
static struct {
    void *at;
    int error;
} early[PLACES][WAYS];

static void try_places(int first, int end, long size, int later)
{
    for (int i = first; i < end; i++) {
        for (int j = 0; j < WAYS; j++) {
            int fd = places[i].open(size);
            if (fd < 0) {
                tell(places[i].name, ways[j].name, "not open");
                continue;
            }
            errno = 0;
            void *at = ways[j].map(fd, size);
            if (later) {
                early[i][j].at = at;
                early[i][j].error = errno;
            } else {
                int known = at != MAP_FAILED;
                tell(places[i].name, ways[j].name, known ? run(at) : strerrorname_np(errno));
            }
            if (at != MAP_FAILED && !later)
                munmap(at, (size_t)size);
            for (int open = 3; open < 9; open++)
                close(open);
        }
    }
}

static void get(const char *url, const char *arg)
{
    (void)arg;
    used = 0;
    if (!strcmp(url, "/early")) {
        for (int i = 0; i < PLACES; i++)
            for (int j = 0; j < WAYS; j++) {
                void *at = early[i][j].at;
                int known = at != MAP_FAILED;
                tell(places[i].name, ways[j].name,
                     known ? run(at) : strerrorname_np(early[i][j].error));
            }
    } else if (!strncmp(url, "/large/", 7)) {
        int place = atoi(url + 7);
        try_places(place, place + (place < PLACES), LARGE, 0);
    } else {
        try_places(0, PLACES, PAGE, 0);
    }
    backend_response(200, "text/plain", 10, text, used);
}

int main(void)
{
    try_places(0, PLACES, PAGE, 1);
    set_backend_get(get);
    wait_for_requests();
}
