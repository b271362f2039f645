"""Functions for the lanes to run: at module level, so that a worker process finds them by name."""

from __future__ import annotations

import asyncio
import contextvars
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import rota

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def double(x: Any) -> Any:
    return 2 * x


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


async def add_later(a: int, b: int = 0) -> int:
    await asyncio.sleep(0)
    return a + b


def pid(*_: Any) -> int:
    return os.getpid()


async def pid_later(*_: Any) -> int:
    await asyncio.sleep(0.01)
    return os.getpid()


def thread_name(*_: Any) -> str:
    return threading.current_thread().name


def fail(x: Any) -> None:
    raise LookupError(f"no {x}")


class OwnError(Exception):
    """One that can be referred to weakly."""


def raise_own(*_: Any) -> None:
    raise OwnError


def fail_if_odd(x: int) -> int:
    if x % 2:
        raise LookupError(f"{x} is odd")
    return x


async def fail_later(x: Any) -> None:
    await asyncio.sleep(0)
    raise LookupError(f"no {x}")


@rota.cpu
async def computing_pid(_item: object = None) -> int:
    return os.getpid()


def read_variable(_item: object = None) -> str:
    value = variable.get()
    variable.set("changed by the call")
    return value


def wait_for(event: threading.Event) -> str:
    assert event.wait(20)
    return "went on"


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def sleep_on_loop(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def touch_and_sleep(path: str) -> None:
    """Say who runs this, then take far too long."""
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
    time.sleep(60)


def spin_forever(path: str) -> None:
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
    while True:
        pass


def note(path: str, x: Any) -> Any:
    """Leave a line for each call that is made."""
    with open(path, "a") as file:
        file.write(f"{x}\n")
    return x


def note_and_die_at(where: tuple[str, int], x: int) -> int:
    path, bad = where
    note(path, x)
    return die_at(bad, x)


def die_at(bad: int, x: int) -> int:
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_once(path: str, x: int) -> int:
    """Kill the worker, the first time."""
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def leave(code: int) -> None:
    os._exit(code)


def hog(size: int) -> int:
    return len(bytearray(size))


def take_lock(_lock: Any) -> None: ...


def make_lock(*_: Any) -> Any:
    return threading.Lock()


def say(text: str) -> None:
    print(text)


def environment(name: str) -> str | None:
    return os.environ.get(name)


class TwoArgumentsError(Exception):
    """Pickles, and does not unpickle: its constructor takes two, and its args are one."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def raise_two_arguments(*_: Any) -> None:
    raise TwoArgumentsError(1, 2)


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("with a lock inside")
        self.lock = threading.Lock()


def raise_unpicklable(*_: Any) -> None:
    raise UnpicklableError


class NoTraveller:
    """Pickles; can't be made again."""

    def __reduce__(self) -> Any:
        return make_nothing, ()


def make_nothing() -> None:
    raise ValueError("it stays where it is")


def give_no_traveller(*_: Any) -> NoTraveller:
    return NoTraveller()


made = 0


class Counted:
    """Says how often it was unpickled in this process."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return make_counted, (self.value,)


def make_counted(value: int) -> Counted:
    global made
    made += 1
    return Counted(value)


def how_often_made(counted: Counted, x: int) -> tuple[int, int]:
    return made, counted.value + x


class Block:
    """Bytes that travel beside the pickle, as an array's do."""

    def __init__(self, content: Any) -> None:
        self.content = memoryview(content)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.content),)


def flip(block: Block) -> Block:
    """The block with its first byte changed, where it stands."""
    block.content[0] ^= 0xFF
    return block


def is_read_only(block: Block) -> bool:
    return block.content.readonly


class Account:
    """Has a method that changes it."""

    def __init__(self) -> None:
        self.balance = 0

    def add(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    def compute_and_add(self, rounds: int) -> int:
        return self.add(compute(rounds))

    def __call__(self, amount: int) -> int:
        return self.add(amount)


class Later:
    async def __call__(self, x: int) -> int:
        await asyncio.sleep(0)
        return x + 1


@dataclass(frozen=True)
class Point:
    x: int

    def moved(self, by: int) -> int:
        return self.x + by


class Pair(NamedTuple):
    a: int
    b: int


def compute(rounds: int) -> int:
    """Holds the GIL in Python: some 20 ms for 400,000 rounds."""
    total = 0
    for number in range(rounds):
        total += number & 3
    return total


counter = 0


def count_up(rounds: int) -> int:
    """The same, and leaves something behind in its module."""
    global counter
    counter += 1
    return compute(rounds)


def where(_: Any) -> tuple[int, str]:
    return os.getpid(), sys.version


def compute_and_say_where(rounds: int) -> int:
    compute(rounds)
    return os.getpid()


def compute_beside(rounds: int, _beside: Any) -> int:
    compute(rounds)
    return os.getpid()


def compute_and_make_lock(rounds: int) -> Any:
    compute(rounds)
    return threading.Lock()


def compute_and_read_variable(rounds: int) -> str:
    compute(rounds)
    return variable.get()


def start_and_wait(path: str) -> None:
    """Have a program of its own that takes far too long."""
    program = subprocess.Popen(["sleep", "60"])
    with open(path, "w") as file:
        file.write(str(program.pid))
    program.wait()


def note_and_wait(path: str, x: Any) -> None:
    note(path, x)
    time.sleep(60)


together = 0


async def meet_on_loop(many: int) -> None:
    global together
    together += 1
    while together < many:
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class FrozenError(Exception):
    why: str = "because"


def raise_frozen() -> None:
    raise FrozenError


async def raise_frozen_later() -> None:
    raise FrozenError


def exit_with(code: int) -> None:
    sys.exit(code)


def interrupt(_: Any) -> None:
    raise KeyboardInterrupt


def fork_and_leave(path: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    with open(path, "w") as file:
        file.write(str(child))
    os._exit(3)


class Slow:
    """Takes far too long to be made again."""

    def __reduce__(self) -> Any:
        return time.sleep, (60,)


class Deadly:
    """Whoever makes it again dies."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


class Interrupting:
    def __reduce__(self) -> Any:
        return interrupt, (0,)


setting = 1
read_setting = lambda: setting  # noqa: E731 - it has no name to go by


def how_many_arrived() -> int:
    from rota.lanes import shipping

    return len(shipping.arrived)


def make_block(x: int) -> Block:
    return Block(bytearray([x]) * (1 << 20))


def add_size(block: Block, x: int) -> int:
    return len(block.content) + x


def touch_or_double(x: Any) -> Any:
    return touch_and_sleep(x) if isinstance(x, str) else double(x)
