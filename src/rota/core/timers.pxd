cimport cython

from .handle cimport TimerHandle
from .ready cimport Ready

cdef Py_ssize_t CANCELLED_MIN
cdef double CANCELLED_SHARE
cdef double NEVER


cdef class Timers:
    cdef Py_ssize_t _cancelled
    cdef list _heap
    cdef long long _pushed

    cdef push(self, TimerHandle timer)

    cdef forget(self)

    @cython.locals(timer=TimerHandle)
    cdef double next_when(self) except? -2.0

    @cython.locals(timer=TimerHandle)
    cdef move_due(self, double now, Ready ready)

    @cython.locals(timer=TimerHandle)
    cpdef clear(self)

    @cython.locals(timer=TimerHandle, waiting=list, place=Py_ssize_t)
    cdef _sweep(self)

    @cython.locals(heap=list, top=TimerHandle, last=TimerHandle)
    cdef _pop(self)

    @cython.locals(heap=list, timer=TimerHandle, above=TimerHandle, parent=Py_ssize_t)
    cdef _rise(self, Py_ssize_t place)

    @cython.locals(
        heap=list, timer=TimerHandle, below=TimerHandle, other=TimerHandle, child=Py_ssize_t, size=Py_ssize_t
    )
    cdef _sink(self, Py_ssize_t place)
