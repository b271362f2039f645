cdef extern from *:
    """
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>

    /* What OpenSSL reads, and what it has written. OpenSSL calls for these without the GIL while Python's ssl shakes
       hands, so they are C's memory, not Python's. */
    typedef struct {
        void *ssl;
        void *bio;
        char *arrived;         /* NULL if all was taken */
        size_t begin, end;     /* what OpenSSL has not yet taken of it */
        size_t size;           /* what was allocated */
        size_t partial;        /* what it has taken of a record that is not yet whole */
        char *leaving;
        size_t made, room;     /* bytes of it, and how many were allocated */
        int how;               /* how the last reading ended */
    } rota_tls;

    /* The numbers of limits.py. */
    #define ROTA_READ_SIZE (64 * 1024)
    #define ROTA_TLS_READ_SIZE (65 * 1024)
    #define ROTA_TLS_RECORD (16 * 1024)

    #define ROTA_TLS_AROUND 128        /* more than the header, nonce, padding and tag of a record */

    #define ROTA_TLS_DRAINED 0
    #define ROTA_TLS_MORE 1
    #define ROTA_TLS_ENDED 2
    #define ROTA_TLS_FAILED 3

    /* Of openssl/ssl.h and openssl/bio.h, alike from 1.1.1 on. */
    #define ROTA_SSL_ERROR_WANT_READ 2
    #define ROTA_SSL_ERROR_ZERO_RETURN 6
    #define ROTA_BIO_READ 0x01
    #define ROTA_BIO_RETRY 0x08
    #define ROTA_BIO_ALL_RETRY 0x0F
    #define ROTA_BIO_SOURCE_SINK 0x0400
    #define ROTA_BIO_CTRL_FLUSH 11

    static struct {
        int tried;
        void *method;
        int (*SSL_read)(void *, void *, int);
        int (*SSL_write)(void *, const void *, int);
        int (*SSL_pending)(const void *);
        int (*SSL_get_error)(const void *, int);
        void (*SSL_set_bio)(void *, void *, void *);
        void *(*SSL_get_SSL_CTX)(const void *);
        unsigned long (*ERR_peek_error)(void);
        void (*ERR_clear_error)(void);
        void *(*BIO_new)(const void *);
        int (*BIO_free)(void *);
        int (*BIO_up_ref)(void *);
        void (*BIO_set_data)(void *, void *);
        void *(*BIO_get_data)(void *);
        void (*BIO_set_init)(void *, int);
        void (*BIO_set_flags)(void *, int);
        void (*BIO_clear_flags)(void *, int);
        int (*BIO_get_new_index)(void);
        void *(*BIO_meth_new)(int, const char *);
        int (*BIO_meth_set_read)(void *, int (*)(void *, char *, int));
        int (*BIO_meth_set_write)(void *, int (*)(void *, const char *, int));
        int (*BIO_meth_set_ctrl)(void *, long (*)(void *, int, long, void *));
    } rota_ssl;

    static int rota_bio_read(void *bio, char *data, int size) {
        rota_tls *tls = rota_ssl.BIO_get_data(bio);
        rota_ssl.BIO_clear_flags(bio, ROTA_BIO_ALL_RETRY);
        if (tls == NULL || tls->begin == tls->end) {
            rota_ssl.BIO_set_flags(bio, ROTA_BIO_READ | ROTA_BIO_RETRY);
            return -1;
        }
        if ((size_t)size > tls->end - tls->begin) size = (int)(tls->end - tls->begin);
        memcpy(data, tls->arrived + tls->begin, (size_t)size);
        tls->begin += (size_t)size;
        tls->partial += (size_t)size;
        return size;
    }

    static int rota_tls_make_room(rota_tls *tls, size_t size) {
        char *grown;
        if (tls->room - tls->made >= size) return 1;
        grown = realloc(tls->leaving, tls->made + size);
        if (grown == NULL) return 0;
        tls->leaving = grown;
        tls->room = tls->made + size;
        return 1;
    }

    static int rota_bio_write(void *bio, const char *data, int size) {
        rota_tls *tls = rota_ssl.BIO_get_data(bio);
        rota_ssl.BIO_clear_flags(bio, ROTA_BIO_ALL_RETRY);
        if (tls == NULL || !rota_tls_make_room(tls, (size_t)size)) return -1;
        memcpy(tls->leaving + tls->made, data, (size_t)size);
        tls->made += (size_t)size;
        return size;
    }

    static long rota_bio_ctrl(void *bio, int command, long number, void *pointer) {
        (void)bio, (void)number, (void)pointer;
        return command == ROTA_BIO_CTRL_FLUSH;
    }

    /* Find libssl as Python's _ssl sees it: a name is looked up in that file and in what it was linked with, so this is
       the library that made its SSL objects. Where _ssl is a part of Python, or libssl of _ssl, there is nothing. */
    static int rota_ssl_find(const char *path) {
        void *handle;
        void *method;
        if (rota_ssl.tried) return rota_ssl.method != NULL;
        rota_ssl.tried = 1;
        handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
        if (handle == NULL) return 0;
    #define ROTA_FIND(name) if ((*(void **)&rota_ssl.name = dlsym(handle, #name)) == NULL) return 0
        ROTA_FIND(SSL_read);
        ROTA_FIND(SSL_write);
        ROTA_FIND(SSL_pending);
        ROTA_FIND(SSL_get_error);
        ROTA_FIND(SSL_set_bio);
        ROTA_FIND(SSL_get_SSL_CTX);
        ROTA_FIND(ERR_peek_error);
        ROTA_FIND(ERR_clear_error);
        ROTA_FIND(BIO_new);
        ROTA_FIND(BIO_free);
        ROTA_FIND(BIO_up_ref);
        ROTA_FIND(BIO_set_data);
        ROTA_FIND(BIO_get_data);
        ROTA_FIND(BIO_set_init);
        ROTA_FIND(BIO_set_flags);
        ROTA_FIND(BIO_clear_flags);
        ROTA_FIND(BIO_get_new_index);
        ROTA_FIND(BIO_meth_new);
        ROTA_FIND(BIO_meth_set_read);
        ROTA_FIND(BIO_meth_set_write);
        ROTA_FIND(BIO_meth_set_ctrl);
    #undef ROTA_FIND
        method = rota_ssl.BIO_meth_new(rota_ssl.BIO_get_new_index() | ROTA_BIO_SOURCE_SINK, "rota");
        if (method == NULL) return 0;
        rota_ssl.BIO_meth_set_read(method, rota_bio_read);
        rota_ssl.BIO_meth_set_write(method, rota_bio_write);
        rota_ssl.BIO_meth_set_ctrl(method, rota_bio_ctrl);
        rota_ssl.method = method;
        return 1;
    }

    /* The beginning of PySSLSocket and PySSLContext (Modules/_ssl.c), the same in the Pythons from 3.11 to 3.13.
       Nothing is used unless the one names the other there and OpenSSL agrees. */
    typedef struct { PyObject_HEAD PyObject *socket; void *ssl; PyObject *context; } rota_ssl_socket;
    typedef struct { PyObject_HEAD void *ctx; } rota_ssl_context;

    static CYTHON_UNUSED rota_tls *rota_tls_attach(PyObject *secured, PyObject *context, const char *path) {
    #if PY_VERSION_HEX < 0x030E0000 && !defined(PYPY_VERSION)
        rota_ssl_socket *socket = (rota_ssl_socket *)secured;
        rota_tls *tls;
        if (!*path || Py_TYPE(secured)->tp_basicsize < (Py_ssize_t)sizeof *socket) return NULL;
        if (socket->context != context || socket->ssl == NULL || !rota_ssl_find(path)) return NULL;
        if (rota_ssl.SSL_get_SSL_CTX(socket->ssl) != ((rota_ssl_context *)context)->ctx) return NULL;
        tls = calloc(1, sizeof *tls);
        if (tls == NULL) return NULL;
        tls->ssl = socket->ssl;
        tls->bio = rota_ssl.BIO_new(rota_ssl.method);
        if (tls->bio == NULL) {
            free(tls);
            return NULL;
        }
        rota_ssl.BIO_set_data(tls->bio, tls);
        rota_ssl.BIO_set_init(tls->bio, 1);
        rota_ssl.BIO_up_ref(tls->bio);
        rota_ssl.SSL_set_bio(tls->ssl, tls->bio, tls->bio);
        return tls;
    #else
        (void)secured, (void)context, (void)path, (void)rota_ssl_find;
        return NULL;
    #endif
    }

    /* One block is kept for whoever reads next: it is still in the cache, and the C library would give it back to the
       system. From here on the GIL is held. */
    static char *rota_tls_spare = NULL;

    static void rota_tls_release(rota_tls *tls) {
        if (tls->size == ROTA_TLS_READ_SIZE && rota_tls_spare == NULL) rota_tls_spare = tls->arrived;
        else free(tls->arrived);
        tls->arrived = NULL;
        tls->begin = tls->end = tls->size = 0;
    }

    /* Move what was not taken to a block with room for `more` behind it. */
    static int rota_tls_move(rota_tls *tls, size_t more) {
        size_t left = tls->end - tls->begin;
        size_t size = left || more > ROTA_TLS_READ_SIZE ? left + more : ROTA_TLS_READ_SIZE;
        char *block;
        if (size == ROTA_TLS_READ_SIZE && rota_tls_spare != NULL) {
            block = rota_tls_spare;
            rota_tls_spare = NULL;
        } else {
            block = malloc(size);
            if (block == NULL) {
                PyErr_NoMemory();
                return -1;
            }
        }
        if (left) memcpy(block, tls->arrived + tls->begin, left);
        if (tls->arrived != NULL) rota_tls_release(tls);
        tls->arrived = block;
        tls->end = left;
        tls->size = size;
        return 0;
    }

    /* Give back what is no longer needed. */
    static CYTHON_UNUSED int rota_tls_settle(rota_tls *tls) {
        if (tls->arrived == NULL) return 0;
        if (tls->begin == tls->end) rota_tls_release(tls);
        else if (tls->size - (tls->end - tls->begin) > ROTA_TLS_RECORD) return rota_tls_move(tls, 0);
        return 0;
    }

    static CYTHON_UNUSED Py_ssize_t rota_tls_receive(rota_tls *tls, int fd) {
        ssize_t size;
        if (rota_tls_move(tls, ROTA_TLS_READ_SIZE) < 0) return -2;
        size = recv(fd, tls->arrived + tls->end, ROTA_TLS_READ_SIZE, 0);
        if (size > 0) {
            tls->end += (size_t)size;
            return size;
        }
        if (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            size = -2;
        }
        if (tls->begin == tls->end) rota_tls_release(tls);
        return size;
    }

    static CYTHON_UNUSED int rota_tls_feed(rota_tls *tls, PyObject *data) {
        Py_buffer view;
        int failed;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return -1;
        failed = rota_tls_move(tls, (size_t)view.len);
        if (!failed) {
            memcpy(tls->arrived + tls->end, view.buf, (size_t)view.len);
            tls->end += (size_t)view.len;
        }
        PyBuffer_Release(&view);
        return failed;
    }

    static CYTHON_UNUSED Py_ssize_t rota_tls_waiting(rota_tls *tls) {
        return (Py_ssize_t)(tls->end - tls->begin);
    }

    /* The records that are here, into memory. What is wrong with one stays on OpenSSL's list of errors. */
    static size_t rota_tls_decrypt_to(rota_tls *tls, char *memory, size_t room) {
        size_t size = 0;
        tls->how = ROTA_TLS_DRAINED;
        /* Somebody else's error would be taken for one of this call. */
        if (rota_ssl.ERR_peek_error()) rota_ssl.ERR_clear_error();
        while (size < room) {
            int count = rota_ssl.SSL_read(tls->ssl, memory + size, (int)(room - size));
            if (count <= 0) {
                int error = rota_ssl.SSL_get_error(tls->ssl, count);
                if (error == ROTA_SSL_ERROR_ZERO_RETURN) tls->how = ROTA_TLS_ENDED;
                else if (error != ROTA_SSL_ERROR_WANT_READ) tls->how = ROTA_TLS_FAILED;
                return size;
            }
            size += (size_t)count;
            tls->partial = 0;
            if (tls->begin == tls->end && (size < room || !rota_ssl.SSL_pending(tls->ssl))) return size;
            if (size >= ROTA_READ_SIZE) break;
        }
        tls->how = ROTA_TLS_MORE;
        return size;
    }

    static CYTHON_UNUSED PyObject *rota_tls_decrypt(rota_tls *tls) {
        /* No more than what came can come out of it. */
        size_t room = tls->end - tls->begin + tls->partial + (size_t)rota_ssl.SSL_pending(tls->ssl);
        PyObject *data;
        size_t size;
        tls->how = ROTA_TLS_DRAINED;
        if (room == 0) Py_RETURN_NONE;
        if (room > ROTA_READ_SIZE + ROTA_TLS_RECORD) room = ROTA_READ_SIZE + ROTA_TLS_RECORD;
        data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
        if (data == NULL) return NULL;
        size = rota_tls_decrypt_to(tls, PyBytes_AS_STRING(data), room);
        if (size == 0) {
            Py_DECREF(data);
            Py_RETURN_NONE;
        }
        if (size != room) _PyBytes_Resize(&data, (Py_ssize_t)size);
        return data;
    }

    static CYTHON_UNUSED Py_ssize_t rota_tls_decrypt_into(rota_tls *tls, PyObject *buffer) {
        Py_buffer view;
        size_t size;
        if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) return -1;
        size = rota_tls_decrypt_to(tls, view.buf, view.len > INT_MAX ? INT_MAX : (size_t)view.len);
        PyBuffer_Release(&view);
        return (Py_ssize_t)size;
    }

    static CYTHON_UNUSED int rota_tls_how(rota_tls *tls) {
        return tls->how;
    }

    static CYTHON_UNUSED Py_ssize_t rota_tls_encrypt(rota_tls *tls, PyObject *data, Py_ssize_t begin, Py_ssize_t size) {
        if (rota_ssl.ERR_peek_error()) rota_ssl.ERR_clear_error();
        rota_tls_make_room(tls, (size_t)size + ((size_t)size / ROTA_TLS_RECORD + 1) * ROTA_TLS_AROUND);
        return rota_ssl.SSL_write(tls->ssl, PyBytes_AS_STRING(data) + begin, (int)size);
    }

    static void rota_tls_sent(rota_tls *tls, size_t size) {
        tls->made -= size;
        if (tls->made) {
            memmove(tls->leaving, tls->leaving + size, tls->made);
        } else {
            free(tls->leaving);
            tls->leaving = NULL;
            tls->room = 0;
        }
    }

    static CYTHON_UNUSED PyObject *rota_tls_records(rota_tls *tls) {
        PyObject *data = PyBytes_FromStringAndSize(tls->leaving, (Py_ssize_t)tls->made);
        if (data != NULL) rota_tls_sent(tls, tls->made);
        return data;
    }

    /* Send what the kernel takes; 1 if that is all. An error is for whoever sends the rest. */
    static CYTHON_UNUSED int rota_tls_send(rota_tls *tls, int fd) {
        ssize_t sent;
        if (tls->made == 0) return 1;
        sent = send(fd, tls->leaving, tls->made, MSG_NOSIGNAL);
        if (sent > 0) rota_tls_sent(tls, (size_t)sent);
        return tls->made == 0;
    }

    static CYTHON_UNUSED void rota_tls_detach(rota_tls *tls) {
        if (tls == NULL) return;
        /* The SSL object may live on in the program's hands. */
        rota_ssl.BIO_set_data(tls->bio, NULL);
        rota_ssl.BIO_free(tls->bio);
        if (tls->arrived != NULL) rota_tls_release(tls);
        free(tls->leaving);
        free(tls);
    }
    """
    ctypedef struct rota_tls:
        pass

    enum:
        DRAINED "ROTA_TLS_DRAINED"
        MORE "ROTA_TLS_MORE"
        ENDED "ROTA_TLS_ENDED"
        FAILED "ROTA_TLS_FAILED"

    rota_tls *rota_tls_attach(object secured, object context, const char *path)
    void detach "rota_tls_detach"(rota_tls *memory)
    int feed "rota_tls_feed"(rota_tls *memory, object data) except -1
    Py_ssize_t receive "rota_tls_receive"(rota_tls *memory, int fd) except -2
    int settle "rota_tls_settle"(rota_tls *memory) except -1
    Py_ssize_t waiting "rota_tls_waiting"(rota_tls *memory)
    object decrypt "rota_tls_decrypt"(rota_tls *memory)
    Py_ssize_t decrypt_into "rota_tls_decrypt_into"(rota_tls *memory, object buffer) except -1
    int how "rota_tls_how"(rota_tls *memory)
    Py_ssize_t encrypt "rota_tls_encrypt"(rota_tls *memory, bytes data, Py_ssize_t begin, Py_ssize_t size)
    bytes records "rota_tls_records"(rota_tls *memory)
    bint send "rota_tls_send"(rota_tls *memory, int fd)


ctypedef rota_tls *Memory


cdef inline Memory attach(object secured, object context, bytes path):
    return rota_tls_attach(secured, context, path)
