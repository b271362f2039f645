cimport cython

from . cimport syscalls
from ..core cimport native
from ..core.ready cimport Runnable
from .endpoint cimport Endpoint

cdef int DATAGRAMS_PER_READ
cdef double DATAGRAM_RETRY_DELAY
cdef int AF_UNIX
cdef bint SENDS_EMPTY
cdef int HEADER


cdef class DatagramTransport(Endpoint):
    cdef readonly object _address
    cdef bint _connected
    cdef int _family
    cdef int _fd
    cdef object _out
    cdef bint _reading
    cdef readonly object _sock
    cdef bint _waiting

    cdef _run(self)

    cdef _tell_error(self, error)

    cdef _start_reading(self)

    cpdef sendto(self, data, addr=*)

    cdef bint _send(self, bytes data, address) except -1

    cdef _wait_for_room(self)

    cpdef _send_again(self)

    @cython.locals(data=bytes)
    cdef _send_waiting(self)

    cdef _stop_waiting(self)

    cpdef close(self)

    cpdef _force_close(self, error)

    cdef _stop_reading(self)

    cdef _release(self)


cdef class Sender(Runnable):
    cdef DatagramTransport _transport

    @cython.locals(transport=DatagramTransport)
    cdef _run(self)
