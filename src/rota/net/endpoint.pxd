cimport cython

from ..core cimport native
from ..core.runnable cimport Runnable
from ..core.turn cimport LoopCore

cdef object logger
cdef int WRITES_AFTER_LOSS


cdef class Endpoint(Runnable):
    # What is small stands together: in between, each takes a word.
    cdef bint _buffered
    cdef readonly bint _closing
    cdef bint _leaving
    cdef int _lost
    cdef readonly bint _protocol_paused
    cdef dict __dict__
    cdef readonly object _context
    cdef readonly dict _extra
    cdef Flusher _flusher
    cdef Py_ssize_t _high_water
    cdef readonly LoopCore _loop
    cdef Py_ssize_t _low_water
    cdef readonly object _protocol
    cdef Py_ssize_t _size

    cdef _note_socket(self, sock)

    cdef _open(self, waiter)

    cdef _start_reading(self)

    cdef _get_buffer(self, hint)

    cdef bint _buffer_updated(self, Py_ssize_t size) except -1

    cdef _flush_later(self)

    cdef _flush(self, bint outside)

    cdef _send_kept(self)

    cdef _check_full(self)

    cdef _check_drained(self, bint outside)

    cdef _tell_protocol(self, str method, bint outside)

    cdef _write_lost(self)

    cpdef _force_close(self, error)

    cpdef _fatal_error(self, error, message=*)

    cdef _protocol_failed(self, error, message)

    cdef _report(self, error, message)

    cdef _lose(self, error)

    cpdef _call_connection_lost(self, error)

    cdef _release(self)


cdef class Opening(Runnable):
    cdef Endpoint _transport
    cdef object _waiter

    @cython.locals(transport=Endpoint)
    cdef _run(self)

    @cython.locals(transport=Endpoint)
    cdef _begin(self)


cdef class Flusher(Runnable):
    cdef Endpoint _transport

    @cython.locals(transport=Endpoint)
    cdef _run(self)


cdef class Layer(Endpoint):
    cdef Py_ssize_t _receive(self, object file, int fd) except -2

    cdef _received(self)
