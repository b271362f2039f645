cimport cython

from .handle cimport TimerHandle
from .ready cimport Ready

cdef Py_ssize_t YOUNG
cdef Py_ssize_t CANCELLED_MIN
cdef double CANCELLED_SHARE
cdef double NEVER


cdef class Timers:
    cdef Py_ssize_t _cancelled
    cdef list _heap
    cdef long long _pushed
    cdef list _young
    cdef bint _young_known
    cdef double _young_when

    @cython.locals(young=list)
    cdef push(self, TimerHandle timer)

    @cython.locals(young=list, last=TimerHandle, place=Py_ssize_t)
    cdef forget(self, TimerHandle timer)

    @cython.locals(timer=TimerHandle, when=double)
    cdef double next_when(self) except? -2.0

    @cython.locals(timer=TimerHandle)
    cdef move_due(self, double now, Ready ready)

    @cython.locals(timer=TimerHandle)
    cpdef clear(self)

    @cython.locals(timer=TimerHandle, when=double)
    cdef _find_young_when(self)

    @cython.locals(new=list, timer=TimerHandle, young=list)
    cdef _settle(self)

    @cython.locals(swept=list, timer=TimerHandle, waiting=list, place=Py_ssize_t)
    cdef _sweep(self)

    @cython.locals(heap=list, top=TimerHandle, last=TimerHandle)
    cdef _pop(self)

    @cython.locals(heap=list, timer=TimerHandle, above=TimerHandle, parent=Py_ssize_t)
    cdef _rise(self, Py_ssize_t place)

    @cython.locals(
        heap=list, timer=TimerHandle, below=TimerHandle, other=TimerHandle, child=Py_ssize_t, size=Py_ssize_t
    )
    cdef _sink(self, Py_ssize_t place)


cpdef tuple when_and_number(TimerHandle timer)
