cimport cython

from .endpoint cimport Endpoint
from .reader cimport ReaderCore

cdef object deque, logger


cdef class ProtocolCore:
    cdef public object _closed
    cdef public bint _connection_lost
    cdef readonly object _drain_waiters
    cdef public object _loop
    cdef public bint _over_ssl
    cdef public bint _paused
    cdef public object _stream_reader_wr

    cpdef _end(self, error)


cdef class WriterCore:
    cdef public object _loop
    cdef public object _protocol
    cdef public object _reader
    cdef public object _transport

    @cython.locals(closing=bint, protocol=ProtocolCore, reader=ReaderCore, transport=Endpoint)
    cpdef bint _flows(self) except -1


cdef finish(future, error)
