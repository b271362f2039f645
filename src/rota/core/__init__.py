"""The clockwork: what is ready, what waits for a time or a future, and the turn that moves one to the other.

No sockets and no threads live here, and nothing of rota is imported but ``errors`` and ``limits``: what waits for a
file descriptor is behind the poller that the loop is handed.

============== ===================================================================================
``ready``      the ready list: whatever can run now, first come first served
``policy``     who of the ready runs next, when it is not first come first served
``handle``     one call, now or at a time
``timers``     the calls that wait for their time
``future``     a result that arrives later; ``states`` are its states
``task``       a coroutine being run; ``ended`` is how it ended
``factory``    which keywords a task factory is given
``gather``     many awaitables as one
``sleep``      let others run, for a turn or for a time
``state``      what futures and tasks see of their loop
``turn``       the loop: run the ready, poll, move what is done from waiting to ready
``clock``      what time it is, and how long until then
``probes``     what an observer can hear
``lifecycle``  a loop's life: run, stop, close, async generators
``fork``       in a forked child, the loops of its parent
``trouble``    where an exception goes that nobody awaits
``registry``   asyncio's own book of tasks, so that ``all_tasks`` and ``current_task`` know rota's
``debugging``  what debug mode shows
``native``     the few calls that need C, with the same in plain Python
============== ===================================================================================
"""
