cimport cython

from . cimport native
from .future cimport Future
from .runnable cimport Runnable
from .state cimport LoopState

cdef object CancelledError, CoroutineType, UNTOUCHED
cdef int CANCELLED
cdef int FINISHED
cdef int PENDING


cdef class Gathering(Future):
    cdef Py_ssize_t _awaited
    cdef bint _cancel_requested
    cdef list _children
    cdef bint _return_exceptions

    cpdef cancel(self, msg=*)

    @cython.locals(future=Future)
    cpdef bint _await(self, child) except -1

    cpdef _abandon(self)

    cpdef _arrived(self, child)

    cdef _complete(self)

    cdef _finish(self, int status)


cdef class Arrival(Runnable):
    cdef Future _child
    cdef Gathering _gathering

    cdef _run(self)


@cython.locals(arrival=Arrival)
cdef Arrival new_arrival(Gathering gathering, Future child)
