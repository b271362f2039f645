cimport cython

from . cimport syscalls
from ..core cimport native
from ..core.ready cimport Runnable
from ..core.turn cimport LoopCore

cdef object logger
cdef Py_ssize_t WRITE_NOW
cdef Py_ssize_t WRITE_BUFFERS
cdef int WRITES_AFTER_LOSS


cdef class SocketTransport(Runnable):
    cdef object _buffer_updated
    cdef bint _closing
    cdef readonly object _context
    cdef object _data_received
    cdef bint _ended
    cdef bint _eof
    cdef readonly dict _extra
    cdef int _fd
    cdef Flusher _flusher
    cdef object _get_buffer
    cdef Py_ssize_t _high_water
    cdef bint _leaving
    cdef readonly LoopCore _loop
    cdef int _lost
    cdef Py_ssize_t _low_water
    cdef Py_ssize_t _offset
    cdef list _out
    cdef bint _paused
    cdef readonly object _protocol
    cdef readonly bint _protocol_paused
    cdef bint _reading
    cdef object _server
    cdef Py_ssize_t _size
    cdef object _sock
    cdef bint _writing

    cdef _note_names(self, sock)

    cdef _run(self)

    @cython.locals(size=Py_ssize_t)
    cdef _read_into_buffer(self)

    cdef _read_end(self)

    cdef _start_reading(self)

    cdef _stop_reading(self)

    cpdef write(self, data)

    cdef _write_lost(self)

    cdef _send_later(self)

    @cython.locals(sent=Py_ssize_t)
    cdef _flush(self, bint outside)

    @cython.locals(count=Py_ssize_t, data=bytes)
    cdef bint _take_out(self, Py_ssize_t sent) except -1

    cdef _drop_out(self)

    cdef _stop_writing(self)

    cdef _shut_writing(self)

    cdef _tell_protocol(self, callback, message, bint outside)

    cpdef close(self)

    cpdef _force_close(self, error)

    cpdef _fatal_error(self, error, message=*)

    cdef _lose(self, error)

    cpdef _call_connection_lost(self, error)

    cdef _release(self)


cdef class Flusher(Runnable):
    cdef SocketTransport _transport

    @cython.locals(transport=SocketTransport)
    cdef _run(self)


cdef class Opening(Runnable):
    cdef SocketTransport _transport
    cdef object _waiter

    @cython.locals(transport=SocketTransport)
    cdef _run(self)
