cdef class Runnable:
    cdef bint _is_task
    cdef readonly bint _queued
    cdef object __weakref__

    cdef _run(self)
