cimport cython

from . cimport native
from .handle cimport Handle, new_handle
from .ready cimport Ready
from .runnable cimport Runnable
from .state cimport LoopState

cdef object CancelledError, InvalidStateError, source_traceback
cdef object UNTOUCHED, UNTOUCHED_ITERATOR

cdef int PENDING
cdef int CANCELLED
cdef int FINISHED
cdef tuple STATES


cdef class FutureIterator


cdef class Future(Runnable):
    cdef public bint _asyncio_future_blocking
    cdef public object _cancel_message
    cdef object _cancelled_exc
    cdef readonly object _exception
    cdef object _exception_tb
    cdef readonly LoopState _loop
    cdef list _others
    cdef Ready _ready
    cdef readonly object _result
    cdef public object _source_traceback
    cdef int _status
    cdef bint _unretrieved
    cdef dict __dict__
    cdef Runnable _waiter

    cdef _prepare(self, LoopState loop)

    @cython.locals(iterator=FutureIterator)
    cdef FutureIterator _iterate(self)

    @cython.locals(others=list)
    cdef _add_waiter(self, Runnable waiter)

    cpdef cancel(self, msg=*)

    cdef _check_made(self)

    cdef _check_pending(self)

    cdef _fail(self, exception)

    @cython.locals(waiter=Runnable, others=list)
    cdef _finish(self, int status)

    @cython.locals(handle=Handle)
    cdef _wake(self, Runnable waiter)

    cpdef _make_cancelled_error(self)

    cdef _raised(self)

    cdef object _trouble(self)

    cdef _report_unretrieved(self)

    cdef _report(self, dict trouble)


cdef class FutureIterator:
    cdef Future _future
    cdef bint _given


@cython.locals(it=FutureIterator, future=Future)
cdef object go_on(object iterator)


@cython.locals(handle=Handle)
cdef bint calls(object waiter, object callback) except -1


@cython.locals(future=Future)
cpdef Future new_future(LoopState loop)
