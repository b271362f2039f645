cimport cython

from . cimport syscalls
from ..core cimport native
from ..core.ready cimport Runnable
from .endpoint cimport Endpoint

cdef object logger
cdef int EIO
cdef Py_ssize_t WRITE_NOW


cdef class Pipe(Endpoint):
    cdef int _fd
    cdef object _file
    cdef bint _terminal

    cdef bint _check_mode(self, mode) except -1

    cdef _refuse(self)

    cdef _release(self)

    cdef _describe(self, words)


cdef class ReadPipe(Pipe):
    cdef bint _always
    cdef bint _buffered
    cdef bint _paused
    cdef bint _reading

    cdef _refuse(self)

    cdef _run(self)

    cdef _read(self)

    @cython.locals(size=Py_ssize_t)
    cdef _read_into_buffer(self)

    cdef _read_failed(self, error)

    cdef _read_end(self)

    cdef _start_reading(self)

    cdef _stop_reading(self)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _describe(self, words)


cdef class WritePipe(Pipe):
    cdef HangUp _hang_up
    cdef bint _leaving
    cdef bytearray _out
    cdef int _writes_refused
    cdef bint _writing

    cdef _refuse(self)

    cdef _start_reading(self)

    cdef _hung_up(self)

    cpdef write(self, data)

    cdef _refuse_write(self)

    cdef _run(self)

    @cython.locals(sent=Py_ssize_t)
    cdef _flush(self, bint outside)

    cdef _stop_writing(self)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _end(self, error)

    cdef _release(self)

    cdef _describe(self, words)


cdef class HangUp(Runnable):
    cdef WritePipe _transport

    @cython.locals(transport=WritePipe)
    cdef _run(self)
