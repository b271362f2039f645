cimport cython

from . cimport libssl, syscalls
from .libssl cimport Memory

cdef object SSLWantReadError
cdef object SSLZeroReturnError
cdef object RECORD
cdef Py_ssize_t READ_SIZE
cdef bytes LIBRARY
cdef object BEHIND


cdef class TlsEngine:
    cdef bint ended
    cdef object failure
    cdef object incoming
    cdef Memory memory
    cdef bint more
    cdef object outgoing
    cdef object put
    cdef object read
    cdef object ssl

    cdef feed(self, data)

    cdef Py_ssize_t receive(self, object file, int fd) except -2

    cdef settle(self)

    cdef Py_ssize_t waiting(self) except -1

    @cython.locals(data=bytes, found=bytes, rest=list, size=Py_ssize_t)
    cdef bytes decrypt(self)

    @cython.locals(size=Py_ssize_t, count=Py_ssize_t, room=Py_ssize_t)
    cdef Py_ssize_t decrypt_into(self, buffer) except -1

    @cython.locals(how=int)
    cdef _note(self)

    @cython.locals(found=bytes, size=Py_ssize_t)
    cdef Py_ssize_t drop(self) except -1

    @cython.locals(done=Py_ssize_t)
    cdef Py_ssize_t write(self, bytes data, Py_ssize_t begin, Py_ssize_t size) except -1

    cdef bytes records(self)

    cdef bint send(self, int fd) except -1
