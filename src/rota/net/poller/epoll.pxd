cimport cython

from .. cimport syscalls
from ...core.ready cimport Ready
from ...core.runnable cimport Runnable
from .watches cimport Watch, Watches

cdef object weakref
cdef int READ
cdef int WRITE
cdef Py_ssize_t READ_ONCE


cdef class Epoll:
    cdef bint _closed
    cdef object _epoll
    cdef int _fd
    cdef Py_ssize_t _polls
    cdef Watches _watches

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable add_reader(self, int fd, Runnable runnable)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable add_writer(self, int fd, Runnable runnable)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable remove_reader(self, int fd)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable remove_writer(self, int fd)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable resume_reader(self, int fd, Runnable runnable, file)

    @cython.locals(watch=Watch)
    cpdef pause_reader(self, int fd, Runnable runnable, bint drained)

    @cython.locals(watch=Watch)
    cpdef bint is_drained(self, int fd, file) except -1

    cpdef poll(self, double timeout, Ready ready)

    @cython.locals(watch=Watch)
    cpdef who_waits(self, int fd)

    @cython.locals(watch=Watch)
    cdef _renew(self)

    cdef Watch _open_watch(self, int fd)

    @cython.locals(wanted=Py_ssize_t)
    cdef _ask(self, int fd, Watch watch, Py_ssize_t event)

    cdef _withdraw(self, int fd, Watch watch)
