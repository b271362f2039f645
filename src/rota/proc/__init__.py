"""Child processes and signals: what the operating system tells about processes.

============= ==========================================================================
``process``   starts child processes
``preexec``   ``preexec_fn`` without a loop that stands still
``transport`` a child as a transport: its pipes, its end, and its protocol
``child``     how the loop learns that a child has ended, and sends it signals
``signals``   handlers of signals that run on the loop
============= ==========================================================================
"""
