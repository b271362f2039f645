cdef class Ended:
    cdef object error
    cdef object value

    cdef object take_value(self)

    cdef object take_error(self)
