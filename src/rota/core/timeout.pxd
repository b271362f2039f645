cimport cython

from . cimport native
from .handle cimport Handle
from .task cimport Task
from .turn cimport LoopCore

cdef object CancelledError, UNTOUCHED, UNTOUCHED_TIMEOUT, current_task, get_running_loop
cdef int CREATED
cdef int ENTERED
cdef int EXPIRING
cdef int EXPIRED
cdef int EXITED
cdef tuple STATES


cdef class Timeout:
    cdef object _cancelling
    cdef LoopCore _core
    cdef object _loop
    cdef int _status
    cdef object _task
    cdef object _timer
    cdef object _when
    cdef object __weakref__

    cdef _prepare(self, when)

    cdef _meet(self, loop)

    @cython.locals(mine=Task)
    cdef _enter(self, task)

    @cython.locals(core=LoopCore)
    cdef _set(self, when)

    @cython.locals(mine=Handle)
    cdef _stop(self)


cdef class Reached:
    cdef object _value


@cython.locals(it=Timeout)
cpdef expire(scope)


@cython.locals(it=Reached)
cdef object go_on(object iterator)


@cython.locals(it=Reached)
cdef Reached reached(value)


cdef say_timeout(error)


@cython.locals(core=LoopCore, scope=Timeout)
cpdef timeout(delay)
