from ..core cimport native
from .endpoint cimport Endpoint, Flusher


cdef class Watched(Endpoint):
    cdef int _fd
    cdef object _file
    cdef bint _reading
    cdef bint _writing

    cdef _stop_reading(self)

    cdef bint _start_writing(self) except -1

    cdef _stop_writing(self)

    cdef _activity(self)
