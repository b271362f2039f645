cimport cython

from ..core cimport native
from .endpoint cimport Endpoint, Flusher, Layer
from .tlsengine cimport TlsEngine
from .transport cimport SocketTransport

cdef object logger
cdef object SSLWantReadError
cdef Py_ssize_t RECORD_SIZE
cdef Py_ssize_t WRITE_NOW
cdef Py_ssize_t LINGER_SIZE
cdef int WRITES_AFTER_LOSS
cdef int WAITING
cdef int HANDSHAKING
cdef int OPEN
cdef int CLOSING
cdef int CLOSED
cdef object NAMES


cdef class TlsTransport(Layer):
    cdef double _began
    cdef object _beneath
    cdef bint _beneath_ends
    cdef bint _beneath_full
    cdef bint _delivering
    cdef Py_ssize_t _dropped
    cdef TlsEngine _engine
    cdef bint _goodbye
    cdef object _handshake_timeout
    cdef Py_ssize_t _left
    cdef bint _lingering
    cdef bint _made
    cdef Py_ssize_t _offset
    cdef list _out
    cdef bint _paused
    cdef bint _peer_ended
    cdef Py_ssize_t _plain
    cdef bint _secured
    cdef object _shutdown_timeout
    cdef SocketTransport _socket
    cdef int _state
    cdef object _timer
    cdef object _waiter

    cdef Py_ssize_t _receive(self, object file, int fd) except -2

    cdef _received(self)

    cdef _shake_hands(self)

    cdef _handshake_done(self)

    cdef _handshake_failed(self, error)

    cdef _tell_waiter(self, error)

    cdef _deliver_later(self)

    cdef _run(self)

    @cython.locals(more=bint)
    cdef _deliver(self)

    cdef bint _deliver_bytes(self) except -1

    @cython.locals(size=Py_ssize_t)
    cdef bint _deliver_into_buffer(self) except -1

    cdef bint _is_there_more(self) except -1

    cdef _decrypting_failed(self)

    cdef _tell_end(self)

    cpdef write(self, data)

    cdef _write_lost(self)

    cdef _flush(self, bint outside)

    @cython.locals(count=Py_ssize_t, size=Py_ssize_t, data=bytes, more=bint)
    cdef _encrypt(self)

    @cython.locals(size=Py_ssize_t, last=Py_ssize_t)
    cdef bytes _join_from(self, Py_ssize_t index, bytes data)

    cdef bint _is_beneath_full(self) except -1

    @cython.locals(data=bytes)
    cdef _send_records(self)

    cdef _send_kept(self)

    cdef _drop_out(self)

    cpdef close(self)

    cpdef _force_close(self, error)

    cpdef _fatal_error(self, error, message=*)

    cdef _break_off(self, error)

    @cython.locals(layer=TlsTransport)
    cdef _send_alert(self)

    cdef _say_goodbye(self)

    cdef _all_said(self)

    @cython.locals(size=Py_ssize_t)
    cdef _drop_incoming(self)

    @cython.locals(size=Py_ssize_t)
    cdef Py_ssize_t _drop(self) except -2

    cdef _linger(self, Py_ssize_t size)

    cdef _await_progress(self)

    cdef _stop_timer(self)

    cdef _release(self)
