cimport cython

cdef object SSLWantReadError
cdef object SSLZeroReturnError
cdef object RECORD
cdef Py_ssize_t READ_SIZE


cdef class TlsEngine:
    cdef bint ended
    cdef object failure
    cdef object feed
    cdef object incoming
    cdef bint more
    cdef object read
    cdef object records
    cdef object ssl
    cdef object write

    @cython.locals(data=bytes, found=bytes, rest=list, size=Py_ssize_t)
    cdef bytes decrypt(self)

    @cython.locals(size=Py_ssize_t, count=Py_ssize_t, room=Py_ssize_t)
    cdef Py_ssize_t decrypt_into(self, buffer) except -1

    @cython.locals(found=bytes, size=Py_ssize_t)
    cdef Py_ssize_t drop(self) except -1
