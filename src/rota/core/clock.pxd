cimport cython

from . cimport native


cdef class Clock:
    cpdef double time(self) except? -1.0

    @cython.locals(delay=double)
    cpdef double until(self, double when) except? -1.0


cdef class Told(Clock):
    cdef object _time
    cdef readonly Clock replaced

    cpdef double time(self) except? -1.0
