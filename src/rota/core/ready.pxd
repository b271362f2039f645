cimport cython

from . cimport native
from .runnable cimport Runnable


cdef class Ready:
    cdef Py_ssize_t _count
    cdef object _guard
    cdef readonly Py_ssize_t _head
    cdef Py_ssize_t _mask
    cdef list _ring
    cdef bint _watched

    cpdef push(self, Runnable runnable)

    @cython.locals(runnable=Runnable)
    cdef Runnable pop(self)

    cpdef clear(self)

    cpdef guard(self, guard)

    @cython.locals(grown=list, mask=Py_ssize_t, ring=list)
    cdef _grow(self)
