cimport cython

from . cimport native
from .ended cimport Ended
from .future cimport Future
from .state cimport LoopState

cdef object CancelledError, CoroutineType, GeneratorType, InvalidStateError
cdef object UNTOUCHED
cdef object enrol, loop_of, strike, swap_current
cdef dict current_tasks
cdef set unfinished
cdef bint UNFINISHED_IS_BOOK
cdef bint UNCANCEL_FORGETS
cdef long long tasks_made

cdef int PENDING
cdef int FINISHED


cdef class Task(Future):
    cdef long long _cancels
    cdef readonly object _context
    cdef readonly object _coro
    cdef readonly object _fut_waiter
    cdef public bint _log_destroy_pending
    cdef public bint _must_cancel
    cdef object _name
    cdef long long _number
    cdef object _pending_error

    cdef _drive(self, LoopState loop, coro, name, context)

    cdef _enrol(self)

    @cython.locals(loop=LoopState)
    cdef _run(self)

    cdef _start_eagerly(self)

    @cython.locals(awaited=Future, ended=Ended)
    cdef _step(self)

    cdef _end(self, value, error)

    cdef _await_foreign(self, outcome)

    cdef _subscribe(self, outcome)

    cdef _finish(self, int status)

    cpdef cancel(self, msg=*)


@cython.locals(task=Task)
cpdef Task new_task(LoopState loop, coro, name, context)
