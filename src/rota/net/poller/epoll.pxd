cimport cython

from .. cimport syscalls
from ...core.ready cimport Ready
from ...core.runnable cimport Runnable
from .watches cimport Watch, Watches

cdef int READ
cdef int WRITE


cdef class Epoll:
    cdef bint _closed
    cdef object _epoll
    cdef int _fd
    cdef Watches _watches

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable add_reader(self, int fd, Runnable runnable)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable add_writer(self, int fd, Runnable runnable)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable remove_reader(self, int fd)

    @cython.locals(watch=Watch, previous=Runnable)
    cpdef Runnable remove_writer(self, int fd)

    cpdef poll(self, double timeout, Ready ready)

    @cython.locals(watch=Watch)
    cpdef who_waits(self, int fd)

    cdef _renew(self)

    cdef Watch _open_watch(self, int fd)

    cdef _ask(self, int fd, Watch watch, int event)

    cdef _withdraw(self, int fd, Watch watch, int event)
