cimport cython

from ...core.ready cimport Ready
from ...core.runnable cimport Runnable

cdef int READ
cdef int WRITE
cdef int ABSENT


cdef class Watch:
    cdef Py_ssize_t drained
    cdef bint ending
    cdef object file
    cdef Py_ssize_t mask
    cdef readonly Runnable reader
    cdef readonly Runnable writer

    cdef Py_ssize_t wanted(self)


cdef class Watches:
    cdef list _rows

    @cython.locals(watch=Watch)
    cdef Watch find(self, int fd)

    cdef pack(self, int fd, Watch watch)

    @cython.locals(watch=Watch)
    cdef Watch make(self, int fd)

    cdef drop(self, int fd)

    @cython.locals(watch=Watch, fd=Py_ssize_t)
    cdef level(self)

    cdef clear(self)

    @cython.locals(watch=Watch, reader=Runnable, runnable=Runnable)
    cdef bint fired(self, int fd, int events, Ready ready) except -1
