cimport cython

from . cimport native

cdef object CancelledError, UNTOUCHED
cdef int CREATED
cdef int ENTERED
cdef int EXPIRING
cdef int EXPIRED
cdef int EXITED
cdef tuple STATES


cdef class Timeout:
    cdef object _cancelling
    cdef object _loop
    cdef int _status
    cdef object _task
    cdef object _timer
    cdef object _when
    cdef object __weakref__

    cdef _set(self, when)

    cpdef _expire(self)


cdef class Reached:
    cdef object _value


@cython.locals(it=Reached)
cdef object go_on(object iterator)


@cython.locals(it=Reached)
cdef Reached reached(value)


cdef say_timeout(error)
