from . cimport syscalls


cdef class Waker:
    cdef object _hears
    cdef int _hears_fd
    cdef object _says
    cdef int _says_fd
    cdef public object on_signal
