cimport cython

from . cimport syscalls
from ..core cimport native
from ..core.ready cimport Runnable
from .endpoint cimport Endpoint
from .tlsengine cimport TlsEngine
from .tlstransport cimport TlsTransport

cdef Py_ssize_t WRITE_NOW
cdef Py_ssize_t WRITE_BUFFERS


cdef class SocketTransport(Endpoint):
    cdef bint _buffered
    cdef bint _ended
    cdef bint _eof
    cdef int _fd
    cdef Flusher _flusher
    cdef bint _leaving
    cdef Py_ssize_t _offset
    cdef list _out
    cdef bint _paused
    cdef bint _reading
    cdef object _room
    cdef bint _sending_file
    cdef object _server
    cdef readonly object _sock
    cdef TlsTransport _tls
    cdef bint _writing

    cdef _run(self)

    @cython.locals(size=Py_ssize_t)
    cdef _read_into_buffer(self)

    @cython.locals(size=Py_ssize_t, tls=TlsTransport)
    cdef _read_records(self)

    cdef _read_end(self)

    cdef _start_reading(self)

    cdef _stop_reading(self)

    cpdef write(self, data)

    cdef _send_records(self, bytes data)

    cdef _send_later(self)

    @cython.locals(sent=Py_ssize_t)
    cdef _flush(self, bint outside)

    @cython.locals(count=Py_ssize_t, data=bytes)
    cdef bint _take_out(self, Py_ssize_t sent) except -1

    cdef _drop_out(self)

    cdef _stop_writing(self)

    cdef _shut_writing(self)

    cdef _drop_room(self, error)

    cpdef close(self)

    cdef _send_kept(self)

    cpdef _force_close(self, error)

    cdef _release(self)


cdef class Flusher(Runnable):
    cdef SocketTransport _transport

    @cython.locals(transport=SocketTransport, tls=TlsTransport)
    cdef _run(self)
