/* Makes the nth write-like call under a folder fail, or kills the process there. Loaded by LD_PRELOAD; see shim.py.

   Counted: open for writing, write, pwrite, fsync, rename, link, ftruncate, mkdir, and close of a file that was opened
   for writing. What to do stands in a file that all processes of a command map: so a worker's calls are counted, too. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, FULL, BROKEN, KILL, INTERRUPT, TERMINATE, HANG_UP };  /* kinds of fault */
enum { FOREIGN, READ, WRITTEN };                     /* kinds of descriptor */
#define DESCRIPTORS 4096

struct plan {
    int64_t at, kind, count, struck;                 /* fail the call number `at`; calls so far; whether it happened */
    char call[32], name[224];                        /* count only this call, and paths that contain this; empty: all */
    char seen_call[32], seen_path[1024];             /* where it struck */
    char folder[1024];
};

static struct plan *plan;
static unsigned char kinds[DESCRIPTORS];
static char *paths[DESCRIPTORS];

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

void faults_use(const char *file)
{
    int fd = REAL(open)(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REAL(close)(fd);
    if (mapped != MAP_FAILED) plan = mapped;
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("FAULTS_PLAN");
    if (file) faults_use(file);
}

/* The whole path, if it is in the folder; else NULL. */
static const char *inside(const char *path, char *whole)
{
    if (!plan || !path) return NULL;
    if (path[0] == '/') snprintf(whole, PATH_MAX, "%s", path);
    else {
        char here[PATH_MAX / 2];
        if (!getcwd(here, sizeof here)) return NULL;
        snprintf(whole, PATH_MAX, "%s/%s", here, path);
    }
    size_t length = strlen(plan->folder);
    return length && !strncmp(whole, plan->folder, length) && (whole[length] == '/' || !whole[length]) ? whole : NULL;
}

/* The errno by which this call fails, or 0. takes_room: a full disk refuses it from then on. */
static int fault(const char *call, const char *path, int takes_room)
{
    if (plan->call[0] && strcmp(plan->call, call)) return 0;
    if (plan->name[0] && !strstr(path, plan->name)) return 0;
    int64_t number = __sync_add_and_fetch(&plan->count, 1);
    if (!plan->at || number < plan->at) return 0;
    if (number > plan->at) return plan->kind == FULL && takes_room ? ENOSPC : 0;
    plan->struck = 1;
    snprintf(plan->seen_call, sizeof plan->seen_call, "%s", call);
    snprintf(plan->seen_path, sizeof plan->seen_path, "%s", path);
    const int signals[] = {[KILL] = SIGKILL, [INTERRUPT] = SIGINT, [TERMINATE] = SIGTERM, [HANG_UP] = SIGHUP};
    if (plan->kind >= KILL) kill(getpid(), signals[plan->kind]);
    return plan->kind == FULL ? ENOSPC : plan->kind == BROKEN ? EIO : 0;
}

static int failed(int error) { errno = error; return -1; }

static int known(int fd, int kind) { return plan && fd >= 0 && fd < DESCRIPTORS && kinds[fd] >= kind; }

static void remember(int fd, int flags, const char *path)
{
    if (fd < 0 || fd >= DESCRIPTORS) return;
    kinds[fd] = path ? ((flags & O_ACCMODE) == O_RDONLY ? READ : WRITTEN) : FOREIGN;
    if (path) { free(paths[fd]); paths[fd] = strdup(path); }
}

#define OPENED(name, call) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
    char whole[PATH_MAX]; \
    const char *in = inside(path, whole); \
    int error = in && (flags & O_ACCMODE) != O_RDONLY ? fault("open", in, (flags & O_CREAT) != 0) : 0; \
    if (error) return failed(error); \
    int fd = call; \
    remember(fd, flags, in); \
    return fd;

int open(const char *path, int flags, ...) { OPENED(open, REAL(open)(path, flags, mode)) }
int open64(const char *path, int flags, ...) { OPENED(open64, REAL(open64)(path, flags, mode)) }
int openat(int at, const char *path, int flags, ...) { OPENED(openat, REAL(openat)(at, path, flags, mode)) }
int openat64(int at, const char *path, int flags, ...) { OPENED(openat64, REAL(openat64)(at, path, flags, mode)) }

/* A disk that fills takes the first half. */
#define WRITING(call, half) \
    int error = known(fd, WRITTEN) ? fault("write", paths[fd], 1) : 0; \
    if (error == ENOSPC && size > 1 && plan->count == plan->at) return half; \
    return error ? failed(error) : call;

ssize_t write(int fd, const void *data, size_t size) { WRITING(REAL(write)(fd, data, size), REAL(write)(fd, data, size / 2)) }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    WRITING(REAL(pwrite)(fd, data, size, at), REAL(pwrite)(fd, data, size / 2, at))
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    WRITING(REAL(pwrite64)(fd, data, size, at), REAL(pwrite64)(fd, data, size / 2, at))
}
ssize_t writev(int fd, const struct iovec *parts, int size) { WRITING(REAL(writev)(fd, parts, size), REAL(writev)(fd, parts, size / 2)) }

#define SYNCED(name) \
    int error = known(fd, READ) ? fault("fsync", paths[fd], 0) : 0; \
    return error ? failed(error) : REAL(name)(fd);
int fsync(int fd) { SYNCED(fsync) }
int fdatasync(int fd) { SYNCED(fdatasync) }

#define CUT(name) \
    int error = known(fd, WRITTEN) ? fault("ftruncate", paths[fd], 1) : 0; \
    return error ? failed(error) : REAL(name)(fd, size);
int ftruncate(int fd, off_t size) { CUT(ftruncate) }
int ftruncate64(int fd, off64_t size) { CUT(ftruncate64) }

int close(int fd)
{
    int error = known(fd, WRITTEN) ? fault("close", paths[fd], 0) : 0;
    if (fd >= 0 && fd < DESCRIPTORS) kinds[fd] = FOREIGN;
    int result = REAL(close)(fd);
    return error ? failed(error) : result;
}

#define NAMED(call, path, takes_room, result) \
    char whole[PATH_MAX]; \
    const char *in = inside(path, whole); \
    int error = in ? fault(call, in, takes_room) : 0; \
    return error ? failed(error) : result;
int rename(const char *from, const char *to) { NAMED("rename", to, 0, REAL(rename)(from, to)) }
int renameat(int a, const char *from, int b, const char *to) { NAMED("rename", to, 0, REAL(renameat)(a, from, b, to)) }
int link(const char *from, const char *to) { NAMED("link", to, 1, REAL(link)(from, to)) }
int linkat(int a, const char *from, int b, const char *to, int flags) { NAMED("link", to, 1, REAL(linkat)(a, from, b, to, flags)) }
int mkdir(const char *path, mode_t mode) { NAMED("mkdir", path, 1, REAL(mkdir)(path, mode)) }
int mkdirat(int at, const char *path, mode_t mode) { NAMED("mkdir", path, 1, REAL(mkdirat)(at, path, mode)) }
