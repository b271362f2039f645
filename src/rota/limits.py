"""The numbers of the loop, each with the sentence that justifies it; a number of one room alone stands there.

Sizes are in bytes and times in seconds unless the name says otherwise. A hot module copies the numbers that it
needs into C constants; nothing changes them while a program runs.
"""

from __future__ import annotations

import os

# -- the turn ---------------------------------------------------------------------------------------------------

#: With tasks always ready, look at the waiting at least every so many turns: a lone task that yields pays a
#: sixteenth of a poll for each step, and a waiting socket is seen after sixteen steps at the latest.
POLL_EVERY_TURNS = 16

#: ... and at least this often, so that turns with thousands of ready tasks don't keep the waiting waiting.
POLL_EVERY_SECONDS = 0.000_2

#: How many events one poll takes from the kernel: more wait for the next turn, and the buffer stays on the stack.
POLL_EVENTS = 256

#: The longest sleep in one poll. A day, as in asyncio: some kernels overflow on more.
POLL_LONGEST = 86_400.0

# -- beside threads that compute --------------------------------------------------------------------------------

#: The interpreter's switch interval while the loop waits for threads that compute: seven times the answers of the usual
#: 5 ms on one connection (``benchmarks/convoy.py``).
SWITCH_INTERVAL = 0.0005

#: A wait for the interpreter after a sleep is long from here on: far below the usual interval ...
SWITCH_LONG_WAIT = 0.0003

#: ... so many long ones show that somebody computes: one alone may be the system's doing.
SWITCH_OFTEN = 3

#: So many short ones in a row show that nobody does any more.
SWITCH_QUIET = 1000

# -- timers -----------------------------------------------------------------------------------------------------

#: Timers wait in no order until there are so many, or one of them is due: a timeout that is cancelled before never
#: enters the heap. Who goes to sleep may have to look at each for the earliest, a few hundred nanoseconds.
TIMERS_YOUNG = 128

#: Cancelled timers stay in the heap until they come up; it is rebuilt when more than this many are there ...
TIMERS_CANCELLED_MIN = 100

#: ... and they are more than this share of it (asyncio's numbers: most timeouts are cancelled, not reached).
TIMERS_CANCELLED_SHARE = 0.5

# -- transports -------------------------------------------------------------------------------------------------

#: One recv takes at most this much: it is read into a scratch buffer that stays in the cache, then copied out.
READ_SIZE = 64 * 1024

#: ... and one from a connected socket this much, as in asyncio: messages of 100 KiB come whole.
SOCKET_READ_SIZE = 256 * 1024

#: A socket that brought this much is next read right into what the protocol is given: to copy 100 KiB takes a tenth of
#: their echo, and to cut off what a short message left over takes less.
LARGE_READ = 32 * 1024

#: A transport pauses its protocol's writing above this many bytes unsent, as in asyncio ...
WRITE_HIGH_WATER = 64 * 1024

#: ... and a quarter of it resumes.
WRITE_LOW_WATER = 16 * 1024

#: Writes are kept for the end of the turn until this much waits: then one send now is cheaper than the memory.
WRITE_NOW = 64 * 1024

#: ... and on a socket until this much does: the messages of ten connections that wait for the end of the turn drive one
#: another out of the processor's cache, and an echo of 16 KiB costs half as much again.
SOCKET_WRITE_NOW = 16 * 1024

#: ... or until the first of them has waited this long: a turn with many ready, each computing for a while, would hold
#: all answers back to its end, and the peers would stand idle and then come all at once.
WRITE_LONGEST_WAIT = 0.001

#: How many buffers one sendmsg takes: the kernel's own bound is 1024 (UIO_MAXIOV); past 64 the copying dominates.
WRITE_BUFFERS = 64

#: After this many writes on a dead connection, say so in the log: once, where asyncio says it at each one more.
WRITES_AFTER_LOSS = 5

#: How long a server stops accepting when the process is out of file descriptors, as in asyncio.
ACCEPT_RETRY_DELAY = 1.0

#: How many datagrams one readiness reads: enough that a burst shares its poll, few enough that the callbacks of one
#: busy socket (a few microseconds each) hold the others up for less than a tenth of a millisecond.
DATAGRAMS_PER_READ = 16

#: The largest datagram that is received whole, as in asyncio: UDP ends at 64 KiB, Unix sockets at the send buffer.
DATAGRAM_SIZE = 256 * 1024

#: How long a datagram waits for room in the queue of a Unix socket that ours is not connected to: the kernel does not
#: tell of that room, and a look once a millisecond costs nothing.
DATAGRAM_RETRY_DELAY = 0.001

#: One sendfile(2) takes at most this much of a file: a third of a millisecond of copying, then the others have a turn.
FILE_BLOCK = 1024 * 1024

#: Where the kernel can't send a file, a thread reads this much at a time: four blocks fill a transport's buffer ...
FILE_READ = 16 * 1024

#: ... and this much for a program's own socket, which has no buffer to fill (both numbers are asyncio's).
SOCK_FILE_READ = 256 * 1024

# -- streams ----------------------------------------------------------------------------------------------------

#: The longest line that a stream reads, and half of what it keeps unread, as in asyncio.
STREAM_LIMIT = 64 * 1024

#: What a stream has unread is kept in the pieces in which it came, more than this many of them ...
STREAM_PIECES = 64

#: ... only if they are longer than this on average: the object around a piece is some 40 bytes.
STREAM_PIECE = 512

# -- TLS --------------------------------------------------------------------------------------------------------

#: The most plain bytes that a record holds (RFC 8446, 5.1).
TLS_RECORD = 16 * 1024

#: One recv for TLS takes at most this much: four full records with what is around them, so that 64 KiB come whole.
TLS_READ_SIZE = 65 * 1024

#: TLS pauses its protocol's writing above this many bytes unsent, as in asyncio; a quarter of it resumes.
TLS_WRITE_HIGH_WATER = 512 * 1024

#: How long a handshake may take, as in asyncio (and nginx).
TLS_HANDSHAKE_TIMEOUT = 60.0

#: How long a closed connection waits for a peer that takes nothing of what was written, as in asyncio.
TLS_SHUTDOWN_TIMEOUT = 30.0

#: When all of ours has left, wait this long for the peer's goodbye, unless the program has said how long: a few round
#: trips on the longest lines, in which it can read our last words ...
TLS_LINGER = 1.0

#: ... and take no more than this from it: what can have been on its way on a fast line.
TLS_LINGER_SIZE = 1024 * 1024

# -- threads ----------------------------------------------------------------------------------------------------

#: The most that run_in_executor uses at once when the program sets no executor: asyncio's number. Since Python 3.13 it
#: goes by the processors that this process may use.
THREADS = min(32, (getattr(os, "process_cpu_count", os.cpu_count)() or 1) + 4)

#: A pool starts so many threads as soon as calls wait: short calls need no more ...
THREADS_AT_ONCE = 8

#: ... and more of them step by step while calls wait: those that end within a step need none, and from 8 threads to
#: 4,000 it is sixteen steps of half as many again.
THREADS_STEP = 0.005

#: More threads bring something if the calls that end in a step are so many times those before: less is chance, or calls
#: that compute and have one interpreter for all.
THREADS_GAIN = 1.1

#: How long the interpreter's exit waits for calls in daemon threads: long enough for one that was about to end.
THREADS_PATIENCE = 1.0

#: The most that ask for names and addresses at once: what asyncio has on a large machine, for these and all else. They
#: wait, for seconds where a resolver does not answer.
NAME_THREADS = 32

#: A thread for names ends when nobody has asked for so long: the connections that a program opens come in bursts.
NAME_KEEP = 10.0

# -- lanes ------------------------------------------------------------------------------------------------------

#: The most threads of the lanes: past some 800 blocking calls of a second each, a library like requests fills a core
#: (1.2 ms of Python a call), and 4,000 idle stacks are some 70 MB.
LANE_THREADS = 4000

#: The most of them that one map uses when it is not told. More bring a map of calls of 0.3 s nothing, and when so many
#: wake up at once, the loop waits for seconds.
MAP_THREADS = 1500

#: A thread of the lanes that has had no call for so long ends.
LANE_KEEP = 10.0

#: How long the end of a loop waits for calls that run in threads, which nobody can stop: then it says which they are,
#: and leaves them.
LANE_PATIENCE = 5.0

#: So many coroutines a map runs at once on the loop when it is not told: a hundred connections are what most servers
#: bear of one client.
MAP_TASKS = 100

#: A chunk of a map should take so long in a process: a thousand times what it costs to send one, and short enough that
#: the last to end is not long alone ...
CHUNK_SECONDS = 0.1

#: ... in a thread, where it only has to outweigh the way there and back ...
CHUNK_SECONDS_THREAD = 0.005

#: ... and ends after this, whatever is left of it: its items may take longer than those before ...
CHUNK_SECONDS_MOST = 0.02

#: ... on a cluster, where a task costs the scheduler a millisecond ...
CHUNK_SECONDS_CLUSTER = 0.5

#: ... with no more than so many items, so that packing one holds the loop for a millisecond or two ...
CHUNK_ITEMS = 2000

#: ... and no more than so many bytes.
CHUNK_BYTES = 4 * 1024 * 1024

# -- debugging --------------------------------------------------------------------------------------------------

#: In debug mode, a callback that holds the loop longer than this is logged, as in asyncio.
SLOW_CALLBACK = 0.1
