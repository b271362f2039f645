/* Fail chosen system calls of this process: LD_PRELOAD this, and arm it from Python with ctypes.
 *
 * The calls first..first+times-1 of the function that is armed, counted from 0 and made by the thread that armed it, do
 * nothing and set errno. Python's socket module and rota's own C both come through here: they call the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *armed;
static long first, times, calls;
static int error;
static pthread_t thread;

void fault_arm(const char *name, long first_call, long how_many, int number) {
    calls = 0;
    first = first_call;
    times = how_many;
    error = number;
    thread = pthread_self();
    armed = name;
}

long fault_disarm(void) {
    armed = NULL;
    return calls;
}

static int fails(const char *name) {
    if (armed == NULL || strcmp(armed, name) != 0 || !pthread_equal(thread, pthread_self())) return 0;
    long call = calls++;
    if (call < first || call >= first + times) return 0;
    errno = error;
    return 1;
}

#define WRAP(type, name, parameters, arguments)                                    \
    type name parameters {                                                         \
        static type(*real) parameters;                                             \
        if (real == NULL) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);      \
        if (fails(#name)) return (type)-1;                                         \
        return real arguments;                                                     \
    }

WRAP(ssize_t, recv, (int fd, void *buffer, size_t size, int flags), (fd, buffer, size, flags))
WRAP(ssize_t, recvfrom,
     (int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length),
     (fd, buffer, size, flags, address, length))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, send, (int fd, const void *buffer, size_t size, int flags), (fd, buffer, size, flags))
WRAP(ssize_t, sendto,
     (int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address, socklen_t length),
     (fd, buffer, size, flags, address, length))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size))
WRAP(ssize_t, write, (int fd, const void *buffer, size_t size), (fd, buffer, size))
WRAP(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags), (fd, address, length, flags))
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, socketpair, (int family, int type, int protocol, int pair[2]), (family, type, protocol, pair))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length))
WRAP(int, getpeername, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length))
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length), (fd, level, name, value, length))
WRAP(int, setsockopt,
     (int fd, int level, int name, const void *value, socklen_t length),
     (fd, level, name, value, length))
WRAP(int, epoll_create1, (int flags), (flags))
WRAP(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event))
WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int size, int timeout), (epoll, events, size, timeout))

/* Into a program's own memory compiled rota reads with read(), and Python, for plain rota, with readv(): one name. */
ssize_t readv(int fd, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (real == NULL) real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "readv");
    if (fails("read")) return -1;
    return real(fd, parts, count);
}

/* rota sleeps in epoll_pwait2, which old C libraries don't have as a function. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (real == NULL) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
#ifdef SYS_epoll_pwait2
    if (number == SYS_epoll_pwait2 && fails("epoll_wait")) return -1;
#endif
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
