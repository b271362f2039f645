from ..core.ready cimport Ready
from .poller.watches cimport Watches


cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <math.h>
    #include <netinet/in.h>
    #include <stddef.h>
    #include <string.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <sys/un.h>
    #include <time.h>
    #include <unistd.h>

    /* The numbers of limits.py that C arrays need. */
    #define ROTA_POLL_EVENTS 256
    #define ROTA_READ_SIZE (64 * 1024)
    #define ROTA_SOCKET_READ_SIZE (256 * 1024)
    #define ROTA_TLS_READ_SIZE (65 * 1024)
    #define ROTA_WRITE_BUFFERS 64
    #define ROTA_DATAGRAM_SIZE (256 * 1024)

    /* epoll_pwait2 takes the kernel's own 64-bit timespec, which is struct timespec on 64-bit systems only. */
    #if defined(__NR_epoll_pwait2) && defined(__LP64__)
    #define ROTA_PWAIT2 1
    #endif

    /* Seconds that the last sleep was followed by a wait for the interpreter. */
    static double rota_waited = 0.0;

    static CYTHON_UNUSED int rota_wait(int epoll, struct epoll_event *events, double timeout) {
        int count;
        PyThreadState *state;
        struct timespec before, after;
        if (timeout == 0.0) return epoll_wait(epoll, events, ROTA_POLL_EVENTS, 0);
        state = PyEval_SaveThread();
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
        clock_gettime(CLOCK_MONOTONIC, &before);
        PyEval_RestoreThread(state);
        clock_gettime(CLOCK_MONOTONIC, &after);
        rota_waited = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
        return count;
    }

    /* When glibc frees a block that it had from mmap, it keeps blocks up to that size from then on, and twice as much
       unused at the end of the heap: no large message is given back to the system, page by page, after that. */
    static CYTHON_UNUSED void rota_keep_memory(void) {
        void *volatile block = malloc(1024 * 1024);
        free(block);
    }

    static int rota_would_block(void) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }

    /* Read into memory that stays in the cache, and copy out what came: a bytes object of the full size would be
       allocated, cut and moved for every packet. The GIL is held from the read to the copy, so one will do. Where much
       comes, the copy costs more than that: `large` says that the last read did bring much. */
    static CYTHON_UNUSED char rota_scratch[ROTA_SOCKET_READ_SIZE];

    /* A message that its reader did not keep, for the next one: malloc takes 500 instructions to make and free bytes of
       1 KiB, and this 60. Nobody else refers to it, so nobody sees that it changes. Below the least Python's own memory
       is as fast; above the most it would be held for long. */
    #define ROTA_SPARE_LEAST 512
    #define ROTA_SPARE_MOST (64 * 1024)
    static CYTHON_UNUSED PyObject *rota_spare = NULL;

    static CYTHON_UNUSED void rota_keep_spare(PyObject *data) {
        Py_ssize_t size = PyBytes_GET_SIZE(data);
        if (Py_REFCNT(data) == 1 && size >= ROTA_SPARE_LEAST && size <= ROTA_SPARE_MOST) {
            Py_INCREF(data);
            Py_XSETREF(rota_spare, data);
        }
    }

    static PyObject *rota_message(const char *from, Py_ssize_t size) {
        PyObject *spare = rota_spare;
        if (spare == NULL || size < ROTA_SPARE_LEAST) return PyBytes_FromStringAndSize(from, size);
        rota_spare = NULL;
        if (PyBytes_GET_SIZE(spare) != size) {
            Py_DECREF(spare);
            return PyBytes_FromStringAndSize(from, size);
        }
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)spare)->ob_shash = -1;
        _Py_COMP_DIAG_POP
        memcpy(PyBytes_AS_STRING(spare), from, (size_t)size);
        return spare;
    }

    static CYTHON_UNUSED PyObject *rota_copy(PyObject *data) {
        PyObject *copy;
        Py_buffer view;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
            PyErr_Clear(); /* not in one piece */
            return PyBytes_FromObject(data);
        }
        copy = rota_message(view.buf, view.len);
        PyBuffer_Release(&view);
        return copy;
    }

    static CYTHON_UNUSED PyObject *rota_recv(int fd, int large) {
        ssize_t size;
        if (large) {
            PyObject *data = PyBytes_FromStringAndSize(NULL, ROTA_SOCKET_READ_SIZE);
            if (data == NULL) return NULL;
            size = recv(fd, PyBytes_AS_STRING(data), ROTA_SOCKET_READ_SIZE, 0);
            if (size >= 0) {
                _PyBytes_Resize(&data, size);
                return data;
            }
            Py_DECREF(data);
        } else {
            size = recv(fd, rota_scratch, sizeof rota_scratch, 0);
            if (size >= 0) return rota_message(rota_scratch, size);
        }
        if (rota_would_block()) Py_RETURN_NONE;
        return PyErr_SetFromErrno(PyExc_OSError);
    }

    /* At most `wanted` bytes. A program's own socket may be one that blocks. */
    static CYTHON_UNUSED PyObject *rota_recv_some(int fd, Py_ssize_t wanted) {
        PyObject *data = NULL;
        char *memory = rota_scratch;
        ssize_t size;
        if (wanted > ROTA_SOCKET_READ_SIZE) {
            data = PyBytes_FromStringAndSize(NULL, wanted);
            if (data == NULL) return NULL;
            memory = PyBytes_AS_STRING(data);
        }
        size = recv(fd, memory, (size_t)wanted, MSG_DONTWAIT);
        if (size >= 0) {
            if (data == NULL) return rota_message(memory, size);
            _PyBytes_Resize(&data, size);
            return data;
        }
        Py_XDECREF(data);
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

    /* The same, lent to `take` while it is called: it must copy, and keep nothing of it. */
    static CYTHON_UNUSED Py_ssize_t rota_recv_to(int fd, PyObject *take) {
        static char scratch[ROTA_TLS_READ_SIZE];
        PyObject *view, *taken;
        ssize_t size = recv(fd, scratch, sizeof scratch, 0);
        if (size < 0) {
            if (rota_would_block()) return -1;
            PyErr_SetFromErrno(PyExc_OSError);
            return -2;
        }
        if (size == 0) return 0;
        view = PyMemoryView_FromMemory(scratch, size, PyBUF_READ);
        if (view == NULL) return -2;
        taken = PyObject_CallOneArg(take, view);
        Py_DECREF(view);
        if (taken == NULL) return -2;
        Py_DECREF(taken);
        return size;
    }

    static CYTHON_UNUSED Py_ssize_t rota_send_one(int fd, PyObject *data) {
        ssize_t size = send(fd, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0 || rota_would_block()) return size;
        PyErr_SetFromErrno(PyExc_OSError);
        return -2;
    }

    static CYTHON_UNUSED Py_ssize_t rota_send(int fd, PyObject *buffers, Py_ssize_t offset) {
        struct iovec parts[ROTA_WRITE_BUFFERS];
        struct msghdr message = {0};
        Py_ssize_t i, count = PyList_GET_SIZE(buffers);
        ssize_t size;
        if (count > ROTA_WRITE_BUFFERS) count = ROTA_WRITE_BUFFERS;
        for (i = 0; i < count; i++) {
            PyObject *part = PyList_GET_ITEM(buffers, i);
            parts[i].iov_base = PyBytes_AS_STRING(part) + offset;
            parts[i].iov_len = (size_t)(PyBytes_GET_SIZE(part) - offset);
            offset = 0; /* of the first only */
        }
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

    /* An address as Python's socket module gives it. */
    static CYTHON_UNUSED PyObject *rota_address(struct sockaddr *address, socklen_t size) {
        char host[INET6_ADDRSTRLEN];
        if (size == 0) Py_RETURN_NONE;
        switch (address->sa_family) {
        case AF_INET: {
            struct sockaddr_in *in = (struct sockaddr_in *)address;
            unsigned char *part = (unsigned char *)&in->sin_addr;
            int length = 0, i;
            /* As inet_ntop does, in a tenth of its time. */
            for (i = 0; i < 4; i++) {
                int value = part[i];
                if (i) host[length++] = '.';
                if (value >= 100) host[length++] = (char)('0' + value / 100);
                if (value >= 10) host[length++] = (char)('0' + value / 10 % 10);
                host[length++] = (char)('0' + value % 10);
            }
            host[length] = 0;
            return Py_BuildValue("s#i", host, (Py_ssize_t)length, (int)ntohs(in->sin_port));
        }
        case AF_INET6: {
            struct sockaddr_in6 *in = (struct sockaddr_in6 *)address;
            if (inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host) == NULL)
                return PyErr_SetFromErrno(PyExc_OSError);
            return Py_BuildValue("siII", host, (int)ntohs(in->sin6_port), (unsigned)ntohl(in->sin6_flowinfo),
                                 (unsigned)in->sin6_scope_id);
        }
        default: {
            struct sockaddr_un *un = (struct sockaddr_un *)address;
            Py_ssize_t length = (Py_ssize_t)size - (Py_ssize_t)offsetof(struct sockaddr_un, sun_path);
            if (length > 0 && un->sun_path[0] == 0) return PyBytes_FromStringAndSize(un->sun_path, length);
            if (length < 0) length = 0;
            return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, (Py_ssize_t)strnlen(un->sun_path, (size_t)length));
        }
        }
    }

    static int rota_knows_family(int family) {
        return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
    }

    /* The Internet addresses from which datagrams came last, by port, as the kernel has them and as Python does. Who
       answers gives the very tuple back: neither is made from the other again, which costs 900 instructions an echo. */
    typedef union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } rota_sender;

    #define ROTA_SENDERS 256 /* some 35 kB */

    static CYTHON_UNUSED struct {
        PyObject *name;
        socklen_t length;
        rota_sender address;
    } rota_senders[ROTA_SENDERS];

    static PyObject *rota_sender_name(rota_sender *sender, socklen_t length) {
        PyObject *name;
        int place;
        if (length == 0 || (sender->any.sa_family != AF_INET && sender->any.sa_family != AF_INET6))
            return rota_address(&sender->any, length);
        place = ntohs(sender->in.sin_port) % ROTA_SENDERS; /* which stands at the same place in both */
        if (rota_senders[place].length == length && memcmp(&rota_senders[place].address, sender, length) == 0) {
            name = rota_senders[place].name;
            Py_INCREF(name);
            return name;
        }
        name = rota_address(&sender->any, length);
        if (name != NULL) {
            Py_INCREF(name);
            Py_XSETREF(rota_senders[place].name, name);
            rota_senders[place].length = length;
            memcpy(&rota_senders[place].address, sender, length);
        }
        return name;
    }

    /* One datagram with its sender; of a family that rota_knows_family. The scratch memory is as for recv. */
    static CYTHON_UNUSED PyObject *rota_recvfrom(int fd) {
        static char scratch[ROTA_DATAGRAM_SIZE];
        rota_sender sender;
        socklen_t length = sizeof sender;
        PyObject *data, *address, *datagram = NULL;
        ssize_t size = recvfrom(fd, scratch, sizeof scratch, 0, &sender.any, &length);
        if (size < 0) {
            if (rota_would_block()) Py_RETURN_NONE;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        data = rota_message(scratch, size);
        if (data == NULL) return NULL;
        address = rota_sender_name(&sender, length);
        if (address != NULL) {
            datagram = PyTuple_Pack(2, data, address);
            Py_DECREF(address);
        }
        Py_DECREF(data);
        return datagram;
    }

    /* The numeric address (host, port) for an Internet socket. 0 for anything else, which Python's own sendto may know
       or refuse. Sets no exception. */
    static socklen_t rota_numeric(int family, PyObject *address, struct sockaddr_storage *storage) {
        const char *host;
        Py_ssize_t length;
        long port;
        if (!PyTuple_CheckExact(address) || PyTuple_GET_SIZE(address) != 2) return 0;
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(address, 0))) return 0;
        if (!PyLong_CheckExact(PyTuple_GET_ITEM(address, 1))) return 0;
        host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(address, 0), &length);
        port = PyLong_AsLong(PyTuple_GET_ITEM(address, 1));
        if (host == NULL || PyErr_Occurred()) {
            PyErr_Clear();
            return 0;
        }
        /* inet_pton would stop at a null character, and send to whoever is named before it. */
        if (port < 0 || port > 65535 || strlen(host) != (size_t)length) return 0;
        memset(storage, 0, sizeof *storage);
        if (family == AF_INET) {
            struct sockaddr_in *in = (struct sockaddr_in *)storage;
            in->sin_family = AF_INET;
            in->sin_port = htons((unsigned short)port);
            return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? sizeof *in : 0;
        }
        if (family == AF_INET6) {
            struct sockaddr_in6 *in = (struct sockaddr_in6 *)storage;
            in->sin6_family = AF_INET6;
            in->sin6_port = htons((unsigned short)port);
            return inet_pton(AF_INET6, host, &in->sin6_addr) == 1 ? sizeof *in : 0;
        }
        return 0;
    }

    /* The kernel's form of an address that a datagram came from, or NULL. */
    static struct sockaddr *rota_known(int family, PyObject *address, socklen_t *length) {
        long port;
        int place;
        if (!PyTuple_CheckExact(address) || PyTuple_GET_SIZE(address) < 2) return NULL;
        if (!PyLong_CheckExact(PyTuple_GET_ITEM(address, 1))) return NULL;
        port = PyLong_AsLong(PyTuple_GET_ITEM(address, 1));
        if (port == -1 && PyErr_Occurred()) PyErr_Clear();
        if (port < 0) return NULL;
        place = (int)(port % ROTA_SENDERS);
        if (rota_senders[place].name != address || rota_senders[place].address.any.sa_family != family) return NULL;
        *length = rota_senders[place].length;
        return &rota_senders[place].address.any;
    }

    /* 1: sent. 0: no room. -1: failed. -2: an address for Python's own sendto. */
    static CYTHON_UNUSED int rota_sendto(int fd, int family, PyObject *data, PyObject *address) {
        struct sockaddr_storage storage;
        ssize_t sent;
        if (address == Py_None) {
            sent = send(fd, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), MSG_NOSIGNAL);
        } else {
            socklen_t size;
            struct sockaddr *to = rota_known(family, address, &size);
            if (to == NULL) {
                to = (struct sockaddr *)&storage;
                size = rota_numeric(family, address, &storage);
                if (size == 0) return -2;
            }
            sent = sendto(fd, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), MSG_NOSIGNAL, to, size);
        }
        if (sent >= 0) return 1;
        if (rota_would_block()) return 0;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }

    /* A terminal gives a line at a time. Its call lets the GIL go, so the memory can't be the common one. */
    #define ROTA_TERMINAL_READ 4096

    static CYTHON_UNUSED PyObject *rota_read(int fd, int terminal) {
        static char scratch[ROTA_READ_SIZE];
        char line[ROTA_TERMINAL_READ];
        ssize_t size;
        if (terminal) {
            Py_BEGIN_ALLOW_THREADS
            size = read(fd, line, sizeof line);
            Py_END_ALLOW_THREADS
        } else {
            size = read(fd, scratch, sizeof scratch);
        }
        if (size >= 0) return PyBytes_FromStringAndSize(terminal ? line : scratch, size);
        if (rota_would_block()) Py_RETURN_NONE;
        return PyErr_SetFromErrno(PyExc_OSError);
    }

    /* One system call on the memory of a buffer: read() into it, or write() from it. */
    static CYTHON_UNUSED Py_ssize_t rota_transfer(int fd, PyObject *buffer, int terminal, int writes) {
        Py_buffer view;
        ssize_t size;
        if (PyObject_GetBuffer(buffer, &view, writes ? PyBUF_SIMPLE : PyBUF_WRITABLE) < 0) return -2;
        if (terminal) {
            Py_BEGIN_ALLOW_THREADS
            size = writes ? write(fd, view.buf, (size_t)view.len) : read(fd, view.buf, (size_t)view.len);
            Py_END_ALLOW_THREADS
        } else {
            size = writes ? write(fd, view.buf, (size_t)view.len) : read(fd, view.buf, (size_t)view.len);
        }
        if (size < 0 && !rota_would_block()) {
            PyErr_SetFromErrno(PyExc_OSError);
            size = -2;
        }
        PyBuffer_Release(&view);
        return size;
    }
    """
    ctypedef union epoll_data_t:
        int fd

    struct epoll_event:
        unsigned int events
        epoll_data_t data

    enum:
        ROTA_POLL_EVENTS
        ROTA_DATAGRAM_SIZE

    void keep_memory "rota_keep_memory"()
    void keep_spare "rota_keep_spare"(bytes data)
    int rota_wait(int epoll, epoll_event *events, double timeout)
    double rota_waited
    bytes copy "rota_copy"(object data)
    object rota_recv(int fd, bint large)
    object rota_recv_some(int fd, Py_ssize_t wanted)
    Py_ssize_t rota_recv_into(int fd, object buffer) except -2
    Py_ssize_t rota_recv_to(int fd, object take) except -2
    Py_ssize_t rota_send_one(int fd, bytes data) except -2
    Py_ssize_t rota_send(int fd, list buffers, Py_ssize_t offset) except -2
    bint rota_knows_family(int family)
    object rota_recvfrom(int fd)
    int rota_sendto(int fd, int family, bytes data, object address) except -1
    object rota_read(int fd, bint terminal)
    Py_ssize_t rota_transfer(int fd, object buffer, bint terminal, bint writes) except -2
    object raise_errno "PyErr_SetFromErrno"(object kind)
    int check_signals "PyErr_CheckSignals"() except -1
    int errno
    enum:
        EINTR


cdef inline object waited():
    return rota_waited


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


cdef inline object recv(object sock, int fd, bint large):
    return rota_recv(fd, large)


cdef inline object recv_some(object sock, int fd, Py_ssize_t wanted):
    return rota_recv_some(fd, wanted)


cdef inline Py_ssize_t recv_into(object sock, int fd, object buffer) except -2:
    return rota_recv_into(fd, buffer)


cdef inline Py_ssize_t recv_to(object sock, int fd, object take) except -2:
    return rota_recv_to(fd, take)


cdef inline Py_ssize_t send_one(object sock, int fd, bytes data) except -2:
    return rota_send_one(fd, data)


cdef inline Py_ssize_t send(object sock, int fd, list buffers, Py_ssize_t offset) except -2:
    return rota_send(fd, buffers, offset)


cdef inline tuple recvfrom(object sock, int fd, int family):
    if rota_knows_family(family):
        return rota_recvfrom(fd)
    try:
        return sock.recvfrom(ROTA_DATAGRAM_SIZE)
    except (BlockingIOError, InterruptedError):
        return None


cdef inline bint sendto(object sock, int fd, int family, bytes data, object address) except -1:
    cdef int sent = rota_sendto(fd, family, data, address)
    if sent >= 0:
        return sent
    try:
        sock.sendto(data, address)
    except (BlockingIOError, InterruptedError):
        return False
    return True


cdef inline object read(int fd, bint terminal):
    return rota_read(fd, terminal)


cdef inline Py_ssize_t read_into(int fd, object buffer, bint terminal) except -2:
    return rota_transfer(fd, buffer, terminal, False)


cdef inline Py_ssize_t write(int fd, object data, bint terminal) except -2:
    return rota_transfer(fd, data, terminal, True)
