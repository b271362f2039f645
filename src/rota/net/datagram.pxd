cimport cython

from . cimport syscalls
from ..core cimport native
from .endpoint cimport Endpoint
from .watched cimport Watched

cdef int DATAGRAMS_PER_READ
cdef double DATAGRAM_RETRY_DELAY
cdef int AF_UNIX
cdef bint SENDS_EMPTY
cdef int HEADER


cdef class DatagramTransport(Watched):
    cdef readonly object _address
    cdef bint _connected
    cdef int _family
    cdef object _out

    @cython.locals(data=bytes, datagram=tuple)
    cdef _run(self)

    cdef _tell_error(self, error)

    cdef _start_reading(self)

    cpdef sendto(self, data, addr=*)

    cdef bint _send(self, bytes data, address) except -1

    cdef _wait_for_room(self)

    cpdef _send_again(self)

    @cython.locals(data=bytes)
    cdef _flush(self, bint outside)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _release(self)
