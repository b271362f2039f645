from .ended cimport Ended
from .ready cimport Ready


cdef class LoopState:
    cdef readonly bint _debug
    cdef Ended _ended
    cdef readonly bint _observed
    cdef readonly object _probes
    cdef readonly Ready _ready
    cdef bint _stepping
    cdef public object _thread_id
    cdef object __weakref__

    cdef _forget_timer(self, timer)
