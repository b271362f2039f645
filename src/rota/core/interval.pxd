cdef double SHORTENED
cdef double LONG
cdef int OFTEN
cdef int QUIET
cdef double MICROSECOND


cdef class SwitchInterval:
    cdef double _before
    cdef int _long
    cdef int _short

    cpdef slept(self, double waited)

    cpdef restore(self)

    cdef _shorten(self)
