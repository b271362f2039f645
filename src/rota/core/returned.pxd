cdef class Returned:
    cdef object value

    cdef object take(self)
