from .ended cimport Ended
from .runnable cimport Runnable


cdef extern from *:
    """
    #include <string.h>
    #include <time.h>
    #ifdef __linux__
    #include <sys/prctl.h>
    #endif

    #define ROTA_YIELDED 0
    #define ROTA_RETURNED 1
    #define ROTA_RAISED 2

    /* Take the exception that is set, with its traceback, as an object. */
    static CYTHON_UNUSED PyObject *rota_take_error(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        PyErr_NormalizeException(&type, &error, &traceback);
        if (traceback != NULL) PyException_SetTraceback(error, traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
        return error;
    #endif
    }

    /* Each gives a new reference, and in `how` what that is. */
    static CYTHON_INLINE PyObject *rota_step(PyObject *context, PyObject *coro, int *how) {
        PyObject *value = NULL;
        if (PyContext_Enter(context) == 0) {
            *how = PyIter_Send(coro, Py_None, &value) == PYGEN_RETURN ? ROTA_RETURNED : ROTA_YIELDED;
            if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        }
        if (value == NULL) { *how = ROTA_RAISED; value = rota_take_error(); }
        return value;
    }

    /* coro.throw(error) tells of a return by StopIteration; there is no C call that spares it. */
    static CYTHON_UNUSED PyObject *rota_throw(PyObject *context, PyObject *coro, PyObject *error, int *how) {
        PyObject *value = NULL;
        *how = ROTA_YIELDED;
        if (PyContext_Enter(context) == 0) {
            value = PyObject_CallMethod(coro, "throw", "O", error);
            if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        }
        if (value == NULL) {
            PyObject *raised = rota_take_error();
            if (PyErr_GivenExceptionMatches(raised, PyExc_StopIteration)) {
                value = PyObject_GetAttrString(raised, "value");
                Py_DECREF(raised);
                *how = ROTA_RETURNED;
            } else {
                value = raised;
                *how = ROTA_RAISED;
            }
        }
        return value;
    }

    static CYTHON_UNUSED PyObject *rota_call(PyObject *context, PyObject *callback, PyObject *args) {
        PyObject *value;
        if (PyContext_Enter(context) < 0) return NULL;
        value = PyObject_Call(callback, args, NULL);
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    /* A vector call takes the arguments as they stand in the tuple. */
    static CYTHON_INLINE PyObject *rota_run(PyObject *context, PyObject *callback, PyObject *args) {
        PyObject *value = NULL;
        if (PyContext_Enter(context) == 0) {
            size_t count = (size_t)PyTuple_GET_SIZE(args);
            value = PyObject_Vectorcall(callback, &PyTuple_GET_ITEM(args, 0), count, NULL);
            if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        }
        if (value == NULL) return rota_take_error();
        Py_DECREF(value);
        Py_RETURN_NONE;
    }

    /* The method is found and called without an object for the two. */
    static CYTHON_INLINE PyObject *rota_call_method(PyObject *context, PyObject *owner, PyObject *name, PyObject *arg) {
        PyObject *value;
        if (PyContext_Enter(context) < 0) return NULL;
        value = PyObject_CallMethodOneArg(owner, name, arg);
        if (PyContext_Exit(context) < 0) Py_CLEAR(value);
        return value;
    }

    /* The same with the two of a tuple. */
    static CYTHON_INLINE PyObject *rota_call_method_two(PyObject *context, PyObject *owner, PyObject *name,
                                                        PyObject *pair) {
        PyObject *value, *args[] = {owner, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)};
        if (PyContext_Enter(context) < 0) return NULL;
        value = PyObject_VectorcallMethod(name, args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
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

    /* Left between a function and its caller: no Python code runs meanwhile. */
    static PyObject *rota_result = NULL;

    static CYTHON_INLINE void rota_give(PyObject *result) {
        Py_INCREF(result);
        Py_XSETREF(rota_result, result);
    }

    static CYTHON_INLINE PyObject *rota_given(void) {
        PyObject *result = rota_result;
        rota_result = NULL;
        return result;
    }

    static PyObject *(*rota_go_on)(PyObject *);

    static CYTHON_UNUSED PyObject *rota_next(PyObject *iterator) {
        PyObject *outcome = rota_go_on(iterator);
        if (outcome == Py_None) {
            PyObject *result = rota_given();
            Py_DECREF(outcome);
            outcome = NULL;
            if (result != Py_None) (void)rota_stop_iteration(result);
            Py_DECREF(result);
        }
        return outcome;
    }

    static CYTHON_UNUSED void rota_iterate_by(PyObject *type, PyObject *(*go_on)(PyObject *)) {
        rota_go_on = go_on;
        ((PyTypeObject *)type)->tp_iternext = rota_next;
    }

    /* data.find(part, begin) makes two integers and a tuple of them each time. */
    static CYTHON_UNUSED Py_ssize_t rota_find(PyObject *data, PyObject *part, Py_ssize_t begin) {
        if (PyBytes_Check(part) && (PyBytes_Check(data) || PyByteArray_Check(data))) {
            const char *text = PyBytes_Check(data) ? PyBytes_AS_STRING(data) : PyByteArray_AS_STRING(data);
            Py_ssize_t size = Py_SIZE(data), wanted = PyBytes_GET_SIZE(part);
            const char *found;
            if (begin > size) return -1;
            if (wanted == 1)
                found = memchr(text + begin, PyBytes_AS_STRING(part)[0], (size_t)(size - begin));
            else
                found = memmem(text + begin, (size_t)(size - begin), PyBytes_AS_STRING(part), (size_t)wanted);
            return found == NULL ? -1 : (Py_ssize_t)(found - text);
        } else {
            Py_ssize_t found = -2;
            PyObject *place = PyObject_CallMethod(data, "find", "On", part, begin);
            if (place != NULL) {
                found = PyLong_AsSsize_t(place);
                Py_DECREF(place);
                if (found == -1 && PyErr_Occurred()) found = -2;
            }
            return found;
        }
    }

    /* A list's item and None in its place, with nothing counted up and down. */
    static CYTHON_INLINE PyObject *rota_take(PyObject *list, Py_ssize_t place) {
        PyObject *item = PyList_GET_ITEM(list, place);
        Py_INCREF(Py_None);
        PyList_SET_ITEM(list, place, Py_None);
        return item;
    }

    /* The few types of this module whose objects come and go all the time: an untouched object of each, and up to
       ROTA_KEPT that are free to be used again. */
    #define ROTA_KEPT 1024
    #if defined(Py_GIL_DISABLED) || defined(__SANITIZE_ADDRESS__) || PY_VERSION_HEX >= 0x030F0000
    #define ROTA_REUSE 0
    #else
    #define ROTA_REUSE 1
    #endif

    typedef struct {
        PyTypeObject *type;
        PyObject *freed;
        int count;
        Py_ssize_t nones;
    } rota_kind;

    static rota_kind rota_kinds[2];

    #define ROTA_BODY(object) ((char *)(object) + sizeof(PyObject))

    static CYTHON_INLINE rota_kind *rota_kind_of(PyTypeObject *type) {
        return rota_kinds[0].type == type ? &rota_kinds[0] : rota_kinds[1].type == type ? &rota_kinds[1] : NULL;
    }

    /* The tp_free of such a type, and of those made from it. */
    static CYTHON_UNUSED void rota_free(void *memory) {
        PyObject *object = (PyObject *)memory;
        rota_kind *kind = rota_kind_of(Py_TYPE(object));
        if (ROTA_REUSE && kind != NULL && kind->count < ROTA_KEPT) {
            /* The word before an object says that it was finalized. */
            ((uintptr_t *)memory)[-1] = 0;
            *(PyObject **)ROTA_BODY(object) = kind->freed;
            kind->freed = object;
            kind->count++;
        } else {
            PyObject_GC_Del(memory);
        }
    }

    static CYTHON_UNUSED void rota_leave_dictionary(PyObject *object) {
        PyObject **attributes = _PyObject_GetDictPtr(object);
        if (attributes != NULL && *attributes != NULL && PyDict_GET_SIZE(*attributes) == 0) Py_CLEAR(*attributes);
    }

    static CYTHON_UNUSED PyObject *rota_untouched(PyObject *type_object) {
        PyTypeObject *type = (PyTypeObject *)type_object;
        rota_kind *kind = rota_kinds[0].type == NULL ? &rota_kinds[0] : &rota_kinds[1];
        PyObject *none = Py_None, *empty = PyTuple_New(0), **word;
        PyObject *object = empty == NULL ? NULL : type->tp_new(type, empty, NULL);
        Py_XDECREF(empty);
        if (object == NULL) return NULL;
        rota_leave_dictionary(object);
        for (word = (PyObject **)ROTA_BODY(object); (char *)word < (char *)object + type->tp_basicsize; word++)
            kind->nones += *word == none;
        kind->type = type;
        type->tp_free = rota_free;
        /* Nobody is to find it, with gc.get_objects(), and give it something: its copies do not count what it holds. */
        PyObject_GC_UnTrack(object);
        return object;
    }

    static CYTHON_INLINE PyObject *rota_another(PyObject *untouched) {
        PyTypeObject *type = Py_TYPE(untouched);
        rota_kind *kind = rota_kind_of(type);
        PyObject *object = kind->freed;
        if (object != NULL) {
            kind->freed = *(PyObject **)ROTA_BODY(object);
            kind->count--;
            (void)PyObject_Init(object, type);
        } else {
            object = PyObject_GC_New(PyObject, type);
            if (object == NULL) return NULL;
        }
        memcpy(ROTA_BODY(object), ROTA_BODY(untouched), (size_t)type->tp_basicsize - sizeof(PyObject));
    #if PY_VERSION_HEX < 0x030C0000
        Py_SET_REFCNT(Py_None, Py_REFCNT(Py_None) + kind->nones);  /* immortal since Python 3.12 */
    #endif
        PyObject_GC_Track(object);
        return object;
    }

    static CYTHON_UNUSED Py_ssize_t rota_nbytes(PyObject *memory) {
        Py_buffer view;
        Py_ssize_t size;
        if (PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE) < 0) return -1;
        size = view.len;
        PyBuffer_Release(&view);
        return size;
    }

    static CYTHON_INLINE double rota_monotonic(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }

    /* A deque's truth takes a call of its length. */
    static CYTHON_INLINE int rota_filled(PyObject *queue) {
        return Py_SIZE(queue) != 0;
    }

    /* Without an integer made to compare with. */
    static CYTHON_INLINE int rota_is_here(PyObject *thread_id) {
        return thread_id != Py_None && PyLong_AsUnsignedLong(thread_id) == PyThread_get_thread_ident();
    }

    /* now + delay makes two objects to add. */
    static CYTHON_UNUSED double rota_later(double now, PyObject *delay) {
        if (PyFloat_CheckExact(delay)) {
            return now + PyFloat_AS_DOUBLE(delay);
        } else if (PyLong_CheckExact(delay)) {
            double seconds = PyLong_AsDouble(delay);
            return seconds == -1.0 && PyErr_Occurred() ? -1.0 : now + seconds;
        } else {
            double when = -1.0;
            PyObject *sum, *start = PyFloat_FromDouble(now);
            if (start == NULL) return when;
            sum = PyNumber_Add(start, delay);
            Py_DECREF(start);
            if (sum == NULL) return when;
            when = PyFloat_AsDouble(sum);
            Py_DECREF(sum);
            return when;
        }
    }

    static CYTHON_UNUSED void rota_unraisable(PyObject *owner, PyObject *error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        PyErr_WriteUnraisable(owner);
    }

    static CYTHON_UNUSED long rota_set_timer_slack(long nanoseconds) {
    #ifdef __linux__
        long before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        if (before > 0 && before != nanoseconds) prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0);
        return before > 0 ? before : 0;
    #else
        (void)nanoseconds;
        return 0;
    #endif
    }
    """
    int ROTA_RETURNED
    int ROTA_RAISED
    object rota_step(object context, object coro, int *how)
    object rota_throw(object context, object coro, object error, int *how)
    object call "rota_call"(object context, object callback, object args)
    object run "rota_run"(object context, object callback, tuple args)
    object call_method "rota_call_method"(object context, object owner, object name, object arg)
    object call_method_two "rota_call_method_two"(object context, object owner, object name, tuple pair)
    object copy_context "PyContext_CopyCurrent"()
    int stop_iteration "rota_stop_iteration"(object value) except -1
    object untouched "rota_untouched"(object type)
    void leave_dictionary "rota_leave_dictionary"(object thing)
    object another "rota_another"(object untouched)
    ctypedef object (*rota_function)(object)
    void give "rota_give"(object result)
    object given "rota_given"()
    void iterate_by "rota_iterate_by"(object type, rota_function go_on)
    Py_ssize_t find "rota_find"(object data, object part, Py_ssize_t begin) except -2
    Py_ssize_t nbytes "rota_nbytes"(object memory) except -1
    Py_ssize_t PyNumber_AsSsize_t(object number, void *overflow) except? -1
    object rota_take(list ring, Py_ssize_t place)
    bint filled "rota_filled"(object queue)
    bint is_here "rota_is_here"(object thread_id)
    double later "rota_later"(double now, object delay) except? -1.0
    double monotonic "rota_monotonic"()
    long set_timer_slack "rota_set_timer_slack"(long nanoseconds)
    void unraisable "rota_unraisable"(object owner, object error)
    int check_signals "PyErr_CheckSignals"() except -1
    int enter_call "Py_EnterRecursiveCall"(const char *where) except 1
    void leave_call "Py_LeaveRecursiveCall"()


cdef inline Py_ssize_t clip(object number) except? -1:
    return PyNumber_AsSsize_t(number, NULL)


cdef inline object step(object context, object coro, Ended ended):
    cdef int how = 0
    outcome = rota_step(context, coro, &how)
    if how == 0:
        return outcome
    if how == ROTA_RETURNED:
        ended.value = outcome
    else:
        ended.error = outcome
    return ended


cdef inline object throw(object context, object coro, object error, Ended ended):
    cdef int how = 0
    outcome = rota_throw(context, coro, error, &how)
    if how == 0:
        return outcome
    if how == ROTA_RETURNED:
        ended.value = outcome
    else:
        ended.error = outcome
    return ended


cdef inline Runnable take(list ring, Py_ssize_t place):
    return <Runnable>rota_take(ring, place)


cdef inline object cancel(object future, object message):
    enter_call(" while cancelling what is awaited")
    try:
        return future.cancel(msg=message)
    finally:
        leave_call()
