cimport cython

from . cimport syscalls
from ..core cimport native
from ..core.future cimport Future, new_future
from ..core.runnable cimport Runnable
from ..core.turn cimport LoopCore

cdef int FINISHED
cdef int PENDING
cdef object Socket, UNTOUCHED, replace
cdef tuple WOULD_BLOCK


cdef class Lines:
    cdef dict _reading
    cdef list _transports
    cdef dict _writing

    cpdef dict first(self, int side)

    @cython.locals(first=dict, turn=Turn)
    cpdef end_stale(self, fd)

    @cython.locals(fd=object)
    cpdef Turn turn(self, LoopCore loop, sock, int side)

    @cython.locals(fd=object, data=bytes)
    cpdef recv(self, LoopCore loop, sock, Py_ssize_t size)

    cdef bint _is_owned(self, Py_ssize_t number) except -1

    @cython.locals(turn=Turn, before=Turn)
    cdef Turn _join(self, LoopCore loop, sock, fd, int side)

    @cython.locals(fd=object, sent=Py_ssize_t)
    cpdef send(self, LoopCore loop, sock, data)


cdef class Turn(Runnable):
    cdef bint _drained
    cdef object _fd
    cdef dict _first
    cdef Future _future
    cdef LoopCore _loop
    cdef Turn _next
    cdef int _side
    cdef readonly object sock

    @cython.locals(future=Future)
    cdef _run(self)

    cpdef Future usable(self)

    @cython.locals(data=bytes)
    cpdef recv(self, Py_ssize_t size)

    cdef _watch(self)

    @cython.locals(future=Future)
    cpdef fail(self, error)

    cpdef look_away(self)

    @cython.locals(turn=Turn)
    cpdef end(self)

    cdef _come_first(self)


cdef recv_or_none(sock, Py_ssize_t size)
