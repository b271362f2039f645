from ..core.ready cimport Ready
from .poller.watches cimport Watches


cdef extern from *:
    """
    #include <errno.h>
    #include <math.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <time.h>
    #include <unistd.h>

    /* The numbers of limits.py that C arrays need. */
    #define ROTA_POLL_EVENTS 256
    #define ROTA_READ_SIZE (64 * 1024)
    #define ROTA_WRITE_BUFFERS 64

    /* epoll_pwait2 takes the kernel's own 64-bit timespec, which is struct timespec on 64-bit systems only. */
    #if defined(__NR_epoll_pwait2) && defined(__LP64__)
    #define ROTA_PWAIT2 1
    #endif

    static CYTHON_UNUSED int rota_wait(int epoll, struct epoll_event *events, double timeout) {
        int count;
        if (timeout == 0.0) return epoll_wait(epoll, events, ROTA_POLL_EVENTS, 0);
        Py_BEGIN_ALLOW_THREADS
    #ifdef ROTA_PWAIT2
        {
            static int missing = 0;
            struct timespec span, *bound = NULL;
            if (timeout > 0.0) {
                double whole = floor(timeout);
                span.tv_sec = (time_t)whole;
                span.tv_nsec = (long)ceil((timeout - whole) * 1e9);
                if (span.tv_nsec > 999999999L) { span.tv_sec += 1; span.tv_nsec = 0; }
                bound = &span;
            }
            count = -1;
            if (!missing) {
                count = (int)syscall(__NR_epoll_pwait2, epoll, events, ROTA_POLL_EVENTS, bound, NULL, 0);
                /* ENOSYS: an older kernel. EPERM: a sandbox that does not know the call. */
                if (count < 0 && (errno == ENOSYS || errno == EPERM)) missing = 1;
            }
            if (missing)
                count = epoll_wait(epoll, events, ROTA_POLL_EVENTS, timeout < 0.0 ? -1 : (int)ceil(timeout * 1e3));
        }
    #else
        count = epoll_wait(epoll, events, ROTA_POLL_EVENTS, timeout < 0.0 ? -1 : (int)ceil(timeout * 1e3));
    #endif
        Py_END_ALLOW_THREADS
        return count;
    }

    static int rota_would_block(void) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }

    /* Read into memory that stays in the cache, and copy out what came: a bytes object of the full size would be
       allocated, cut and moved for every packet. The GIL is held from the read to the copy, so one will do. */
    static CYTHON_UNUSED PyObject *rota_recv(int fd) {
        static char scratch[ROTA_READ_SIZE];
        ssize_t size = recv(fd, scratch, sizeof scratch, 0);
        if (size >= 0) return PyBytes_FromStringAndSize(scratch, size);
        if (rota_would_block()) Py_RETURN_NONE;
        return PyErr_SetFromErrno(PyExc_OSError);
    }

    static CYTHON_UNUSED Py_ssize_t rota_recv_into(int fd, PyObject *buffer) {
        Py_buffer view;
        ssize_t size;
        if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) return -2;
        size = recv(fd, view.buf, (size_t)view.len, 0);
        if (size < 0 && !rota_would_block()) {
            PyErr_SetFromErrno(PyExc_OSError);
            size = -2;
        }
        PyBuffer_Release(&view);
        return size;
    }

    static CYTHON_UNUSED Py_ssize_t rota_send(int fd, PyObject *buffers, Py_ssize_t offset) {
        struct iovec parts[ROTA_WRITE_BUFFERS];
        struct msghdr message = {0};
        Py_ssize_t i, count = PyList_GET_SIZE(buffers);
        ssize_t size;
        if (count > ROTA_WRITE_BUFFERS) count = ROTA_WRITE_BUFFERS;
        for (i = 0; i < count; i++) {
            PyObject *part = PyList_GET_ITEM(buffers, i);
            parts[i].iov_base = PyBytes_AS_STRING(part);
            parts[i].iov_len = (size_t)PyBytes_GET_SIZE(part);
        }
        parts[0].iov_base = (char *)parts[0].iov_base + offset;
        parts[0].iov_len -= (size_t)offset;
        if (count == 1) {
            size = send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
        } else {
            message.msg_iov = parts;
            message.msg_iovlen = (size_t)count;
            size = sendmsg(fd, &message, MSG_NOSIGNAL);
        }
        if (size >= 0 || rota_would_block()) return size;
        PyErr_SetFromErrno(PyExc_OSError);
        return -2;
    }
    """
    ctypedef union epoll_data_t:
        int fd

    struct epoll_event:
        unsigned int events
        epoll_data_t data

    enum:
        ROTA_POLL_EVENTS

    int rota_wait(int epoll, epoll_event *events, double timeout)
    object rota_recv(int fd)
    Py_ssize_t rota_recv_into(int fd, object buffer) except -2
    Py_ssize_t rota_send(int fd, list buffers, Py_ssize_t offset) except -2
    object raise_errno "PyErr_SetFromErrno"(object kind)
    int check_signals "PyErr_CheckSignals"() except -1
    int errno
    enum:
        EINTR


cdef inline int wait(object epoll, int fd, Watches watches, double timeout, Ready ready) except -1:
    cdef epoll_event events[ROTA_POLL_EVENTS]
    cdef int index
    cdef bint stale = False
    cdef int count = rota_wait(fd, events, timeout)
    if count < 0:
        if errno != EINTR:
            raise_errno(OSError)
        # A signal: its handler runs now, and the turn goes on with whatever the handler made ready.
        check_signals()
        return 0
    for index in range(count):
        if not watches.fired(events[index].data.fd, events[index].events, ready):
            stale = True
    return stale


cdef inline object recv(object sock, int fd):
    return rota_recv(fd)


cdef inline Py_ssize_t recv_into(object sock, int fd, object buffer) except -2:
    return rota_recv_into(fd, buffer)


cdef inline Py_ssize_t send(object sock, int fd, list buffers, Py_ssize_t offset) except -2:
    return rota_send(fd, buffers, offset)
