cimport cython

from . cimport syscalls
from ..core cimport native
from .endpoint cimport Endpoint
from .watched cimport Watched

cdef object logger
cdef int EIO
cdef Py_ssize_t WRITE_NOW


cdef class Pipe(Watched):
    cdef bint _terminal

    cdef bint _check_mode(self, mode) except -1

    cdef _refuse(self)

    cdef _stop_reading(self)

    cdef _stop_writing(self)

    cdef _release(self)


cdef class ReadPipe(Pipe):
    cdef bint _always
    cdef bint _paused

    cdef _refuse(self)

    cdef _run(self)

    cdef _read(self)

    @cython.locals(size=Py_ssize_t)
    cdef _read_into_buffer(self)

    cdef _read_failed(self, error)

    cdef _read_end(self)

    cdef _start_reading(self)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _activity(self)


cdef class WritePipe(Pipe):
    cdef bytearray _out
    cdef int _writes_refused

    cdef _refuse(self)

    cdef _start_reading(self)

    cpdef write(self, data)

    cdef _refuse_write(self)

    cdef _run(self)

    @cython.locals(sent=Py_ssize_t)
    cdef _flush(self, bint outside)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _end(self, error)

    cdef _activity(self)
