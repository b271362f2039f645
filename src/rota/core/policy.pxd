cimport cython

from .ready cimport Ready
from .runnable cimport Runnable


cdef class PolicyReady(Ready):
    cdef object _policy

    cpdef push(self, Runnable runnable)

    @cython.locals(runnable=Runnable)
    cdef Runnable pop(self)
