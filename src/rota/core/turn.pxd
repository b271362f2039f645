cimport cython

from . cimport native
from .clock cimport Clock, Told
from .ended cimport Ended
from .future cimport Future, new_future
from .handle cimport Handle, TimerHandle, new_handle, new_timer
from .interval cimport SwitchInterval
from .ready cimport Ready
from .runnable cimport Runnable
from .state cimport LoopState
from .task cimport Task, new_task
from .timers cimport Timers

cdef object check_callback, describe, make_task, report_slow, swap_current
cdef dict current_tasks
cdef int POLL_EVERY_TURNS
cdef double POLL_EVERY_SECONDS
cdef double POLL_LONGEST
cdef double WRITE_LONGEST_WAIT
cdef double NEVER


cdef class LoopCore(LoopState):
    cdef readonly Clock _clock
    cdef readonly bint _closed
    cdef object _inbox
    cdef readonly bint _inherited
    cdef SwitchInterval _interval
    cdef double _kept_since
    cdef readonly bint _parked
    cdef double _polled_at
    cdef readonly object _poller
    cdef readonly long long _polls
    cdef readonly long long _ran
    cdef public bint _stopping
    cdef object _task_factory
    cdef object _time
    cdef readonly Timers _timers
    cdef Ready _turn_end
    cdef readonly long long _turns
    cdef long _slack_before
    cdef int _unpolled
    cdef readonly object _waker
    cdef long long _woken
    cdef public double slow_callback_duration

    cpdef _run_turns(self)

    cpdef _wake_on_time(self, bint wanted)

    @cython.locals(ready=Ready, runnable=Runnable, count=Py_ssize_t, now=double)
    cdef bint _turn(self) except -1

    cdef _leave_task(self)

    cdef _run_failed(self, runnable, error)

    cdef _go_by(self, Clock clock)

    cdef _check_made(self)

    cdef _refuse(self)

    @cython.locals(leaving=Ready, runnable=Runnable, count=Py_ssize_t)
    cdef _end_turn(self)

    @cython.locals(timeout=double, when=double, now=double)
    cdef _poll(self)

    cdef _take_inbox(self)

    @cython.locals(began=double, took=double)
    cdef _run_observed(self, Runnable runnable)

    @cython.locals(before=Py_ssize_t)
    cdef _poll_observed(self, double timeout)

    cdef _at_turn_end(self, Runnable runnable)

    @cython.locals(timer=TimerHandle)
    cdef TimerHandle _call_at(self, double when, callback, tuple args, context, method)

    cdef _forget_timer(self, timer)

    cpdef _close_core(self)

    cpdef _leave_core_to_parent(self)
