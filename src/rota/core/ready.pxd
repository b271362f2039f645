cimport cython

from . cimport native


cdef class Runnable:
    cdef bint _is_task
    cdef readonly bint _queued
    cdef object __weakref__

    cdef _run(self)


cdef class Ready:
    cdef Py_ssize_t _count
    cdef object _guard
    cdef Py_ssize_t _head
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
