cimport cython

from ..core cimport native
from ..core.future cimport Future, new_future
from ..core.state cimport LoopState

cdef object IncompleteReadError, LimitOverrunError, deque, maxsize
cdef int FINISHED
cdef int PENDING
cdef Py_ssize_t PIECE
cdef Py_ssize_t PIECES


cdef class ReaderCore:
    cdef public bint _eof
    cdef public object _exception
    cdef public Py_ssize_t _limit
    cdef public object _loop
    cdef object _more
    cdef Py_ssize_t _offset
    cdef public bint _paused
    cdef bytes _piece
    cdef Py_ssize_t _position
    cdef readonly Py_ssize_t _searched
    cdef public object _transport
    cdef readonly Py_ssize_t _unread
    cdef public object _waiter

    @cython.locals(piece=bytes)
    cpdef feed_data(self, data)

    cdef _pile(self, bytes piece)

    @cython.locals(future=Future)
    cdef _wake(self)

    cdef _pause(self)

    cpdef _maybe_resume_transport(self)

    @cython.locals(wanted=Py_ssize_t)
    cpdef _take_some(self, size)

    @cython.locals(wanted=Py_ssize_t)
    cpdef _take_exactly(self, size)

    @cython.locals(begin=Py_ssize_t, end=Py_ssize_t, first=Py_ssize_t, found=Py_ssize_t)
    cpdef _take_until(self, separators, Py_ssize_t searched)

    @cython.locals(begin=Py_ssize_t, found=Py_ssize_t)
    cpdef _take_line(self, Py_ssize_t searched)

    @cython.locals(found=Py_ssize_t)
    cdef Py_ssize_t _find(self, separator, Py_ssize_t begin) except -2

    @cython.locals(at=Py_ssize_t, parts=list, piece=bytes)
    cpdef bytes _peek(self, Py_ssize_t begin)

    cdef _join(self)

    @cython.locals(data=bytes, parts=list)
    cdef bytes _take(self, Py_ssize_t size)

    @cython.locals(data=bytes)
    cdef bytes _take_part(self, Py_ssize_t size)

    @cython.locals(arrival=Arrival)
    cpdef Arrival _arrival(self, name)


cdef class Arrival:
    cdef object _future
    cdef ReaderCore _reader

    @cython.locals(future=Future)
    cdef bint _is_over(self) except -1

    @cython.locals(reader=ReaderCore)
    cdef _end(self)
