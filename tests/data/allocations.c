/* Counts the allocations of one process on libc's side: whoever asks for memory
 * is counted, be it written in Rust or in C.
 *
 * The process is the first that is started with this library and the file that
 * ALLOCATIONS names, 4096 zeros; its children, and what they become, are not
 * counted. In the file: the pid, how often memory was allocated and freed, of
 * the latest 200 allocations who called, the size, and the function; and whether
 * epoll_wait is to return nonsense, which makes the process panic. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

struct call { uint64_t from; uint32_t size, function; };
struct counts { int64_t pid; uint64_t calls, frees; struct call last[200]; int64_t nonsense; };
static struct counts *counts;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("ALLOCATIONS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(0, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return;
    int64_t nobody = 0;
    counts = map;
    if (!__atomic_compare_exchange_n(&counts->pid, &nobody, getpid(), 0, 5, 5))
        counts = 0;
}

static void count(uint32_t function, size_t size, void *from)
{
    if (counts && counts->pid == getpid())
        counts->last[counts->calls++ % 200] = (struct call){ (uintptr_t)from, size, function };
}

#define FROM __builtin_return_address(0)
void *malloc(size_t size) { count(1, size, FROM); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { count(2, n * size, FROM); return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { count(3, size, FROM); return __libc_realloc(old, size); }
void *memalign(size_t to, size_t size) { count(4, size, FROM); return __libc_memalign(to, size); }
void *aligned_alloc(size_t to, size_t size) { count(5, size, FROM); return __libc_memalign(to, size); }
void free(void *old)
{
    if (old && counts && counts->pid == getpid())
        counts->frees++;
    __libc_free(old);
}

int posix_memalign(void **new, size_t to, size_t size)
{
    count(6, size, FROM);
    *new = __libc_memalign(to, size);
    return *new ? 0 : 12;
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    int found = epoll_pwait(epoll, events, room, timeout, 0);
    return counts && counts->pid == getpid() && counts->nonsense ? room + 1 : found;
}
