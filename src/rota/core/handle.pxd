cimport cython

from . cimport native
from .runnable cimport Runnable
from .state cimport LoopState

cdef object callback_source, source_traceback
cdef object UNTOUCHED_HANDLE, UNTOUCHED_TIMER


cdef class Handle(Runnable):
    cdef readonly tuple _args
    cdef readonly object _callback
    cdef readonly bint _cancelled
    cdef readonly object _context
    cdef readonly LoopState _loop
    cdef public object _source_traceback

    cdef _prepare(self, callback, args, LoopState loop, context)

    cdef _describe_time(self, list words)

    cpdef cancel(self)

    cdef _run(self)

    cdef _failed(self, error)


cdef class TimerHandle(Handle):
    cdef long long _number
    cdef Py_ssize_t _place
    cdef public bint _scheduled
    cdef readonly double _when

    cdef _wait_for(self, double when)

    cdef _describe_time(self, list words)

    cpdef cancel(self)


@cython.locals(handle=Handle)
cpdef Handle new_handle(callback, args, LoopState loop, context)


@cython.locals(timer=TimerHandle)
cpdef TimerHandle new_timer(double when, callback, args, LoopState loop, context)
