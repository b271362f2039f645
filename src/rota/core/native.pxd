from .returned cimport Returned


cdef extern from *:
    """
    #include <time.h>

    static CYTHON_INLINE PyObject *rota_step(PyObject *context, PyObject *coro, int *returned) {
        PyObject *value = NULL;
        if (PyContext_Enter(context) < 0) return NULL;
        *returned = PyIter_Send(coro, Py_None, &value) == PYGEN_RETURN;
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    /* coro.throw(error) tells of a return by StopIteration; there is no C call that spares it. */
    static CYTHON_UNUSED PyObject *rota_throw(PyObject *context, PyObject *coro, PyObject *error, int *returned) {
        PyObject *value, *name = PyUnicode_InternFromString("throw");
        if (name == NULL) return NULL;
        if (PyContext_Enter(context) < 0) { Py_DECREF(name); return NULL; }
        value = PyObject_CallMethodOneArg(coro, name, error);
        Py_DECREF(name);
        if (value == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyObject *type, *stop, *traceback;
            PyErr_Fetch(&type, &stop, &traceback);
            PyErr_NormalizeException(&type, &stop, &traceback);
            value = PyObject_GetAttrString(stop, "value");
            Py_XDECREF(type); Py_XDECREF(stop); Py_XDECREF(traceback);
            *returned = 1;
        }
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    static CYTHON_INLINE PyObject *rota_call(PyObject *context, PyObject *callback, PyObject *args) {
        PyObject *value;
        if (PyContext_Enter(context) < 0) return NULL;
        value = PyObject_Call(callback, args, NULL);
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    static CYTHON_INLINE PyObject *rota_call_one(PyObject *context, PyObject *callback, PyObject *arg) {
        PyObject *value;
        if (PyContext_Enter(context) < 0) return NULL;
        value = PyObject_CallOneArg(callback, arg);
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    /* A tuple or an exception as the value would be taken for the arguments of StopIteration: wrap those. */
    static CYTHON_UNUSED int rota_stop_iteration(PyObject *value) {
        if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
            if (stop != NULL) { PyErr_SetObject(PyExc_StopIteration, stop); Py_DECREF(stop); }
        } else {
            PyErr_SetObject(PyExc_StopIteration, value);
        }
        return -1;
    }

    static CYTHON_INLINE double rota_monotonic(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    """
    object rota_step(object context, object coro, int *returned)
    object rota_throw(object context, object coro, object error, int *returned)
    object call "rota_call"(object context, object callback, object args)
    object call_one "rota_call_one"(object context, object callback, object arg)
    object copy_context "PyContext_CopyCurrent"()
    int stop_iteration "rota_stop_iteration"(object value) except -1
    double monotonic "rota_monotonic"()
    int check_signals "PyErr_CheckSignals"() except -1


cdef inline object step(object context, object coro, Returned returned):
    cdef int finished = 0
    value = rota_step(context, coro, &finished)
    if finished:
        returned.value = value
        return returned
    return value


cdef inline object throw(object context, object coro, object error, Returned returned):
    cdef int finished = 0
    value = rota_throw(context, coro, error, &finished)
    if finished:
        returned.value = value
        return returned
    return value
