/* Loaded before libc (LD_PRELOAD): writes and syncs that fail, and a clock that jumps, as a shared page says.

   FAULTS_PAGE   the page, of 64-bit numbers as in struct page
   FAULTS_UNDER  only files whose path begins so can fail */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct page {
    int64_t calls;      /* how many there were */
    int64_t fails_from; /* the first that fails; 0 for none */
    int64_t fails_to;   /* the last that fails */
    int64_t error;      /* with which errno */
    int64_t kinds;      /* which are counted: 1 writes, 2 syncs, 3 both */
    int64_t clock_s;    /* what is added to the time of day */
};

static struct page *page;
static const char *under;

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("FAULTS_PAGE");
    int fd = path ? open(path, O_RDWR) : -1;
    under = getenv("FAULTS_UNDER");
    if (fd < 0)
        return;
    page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        page = NULL;
    close(fd);
}

static int fails(int fd, int kind)
{
    char link[64], path[4096];
    if (!page || !under || !(page->kinds & kind))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, under, strlen(under)) != 0)
        return 0;
    int64_t call = __atomic_add_fetch(&page->calls, 1, __ATOMIC_SEQ_CST);
    if (!page->fails_from || call < page->fails_from || call > page->fails_to)
        return 0;
    errno = (int)page->error;
    return 1;
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails(fd, 1) ? -1 : NEXT(write)(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t place)
{
    return fails(fd, 1) ? -1 : NEXT(pwrite)(fd, bytes, size, place);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t place)
{
    return fails(fd, 1) ? -1 : NEXT(pwrite64)(fd, bytes, size, place);
}

int fsync(int fd)
{
    return fails(fd, 2) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    return fails(fd, 2) ? -1 : NEXT(fdatasync)(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = NEXT(clock_gettime)(clock, now);
    if (result == 0 && page && clock == CLOCK_REALTIME)
        now->tv_sec += page->clock_s;
    return result;
}

time_t time(time_t *place)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place)
        *place = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int result = NEXT(gettimeofday)(now, zone);
    if (result == 0 && page)
        now->tv_sec += page->clock_s;
    return result;
}
