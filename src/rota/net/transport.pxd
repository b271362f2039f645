cimport cython

from . cimport syscalls
from ..core cimport native
from .endpoint cimport Endpoint, Layer
from .watched cimport Watched

cdef Py_ssize_t LARGE_READ
cdef Py_ssize_t WRITE_NOW
cdef Py_ssize_t WRITE_BUFFERS


cdef class SocketTransport(Watched):
    # What is small stands together: in between, each takes a word.
    cdef bint _ended
    cdef bint _eof
    cdef bint _large
    cdef bint _paused
    cdef bint _receiving
    cdef bint _sending_file
    cdef Layer _layer
    cdef Py_ssize_t _offset
    cdef bytes _only
    cdef list _out
    cdef object _peer
    cdef object _room
    cdef readonly object _server

    @cython.locals(data=bytes, given=bint)
    cdef _run(self)

    cdef _answer(self)

    @cython.locals(size=Py_ssize_t)
    cdef _read_into_buffer(self)

    @cython.locals(size=Py_ssize_t, layer=Layer)
    cdef _feed_layer(self)

    cdef _look_at(self, sock)

    cdef _read_end(self)

    cdef _start_reading(self)

    cpdef write(self, data)

    cdef _send_records(self, bytes data)

    cdef _keep(self, bytes data)

    cdef bint _is_clear(self) except -1

    cdef _send_later(self)

    @cython.locals(layer=Layer)
    cdef _flush(self, bint outside)

    @cython.locals(sent=Py_ssize_t)
    cdef _send_all(self)

    cdef _all_left(self)

    @cython.locals(count=Py_ssize_t, data=bytes)
    cdef bint _take_out(self, Py_ssize_t sent) except -1

    cdef _drop_out(self)

    cdef _shut_writing(self)

    cdef _drop_room(self, error)

    cpdef close(self)

    cdef _send_kept(self)

    cpdef _force_close(self, error)

    cdef _release(self)
