"""Where an exception goes that nobody awaits."""

import asyncio
import contextvars
import gc
import logging
import sys

import pytest

import rota

variable = contextvars.ContextVar("variable", default="unset")


def fail():
    raise OSError("in a callback")


def turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_the_default_writes_to_asyncios_log_with_the_traceback(loop, caplog):
    loop.call_soon(fail)
    turn(loop)
    (record,) = caplog.records
    assert record.name == "asyncio"
    assert record.levelno == logging.ERROR
    first, second = record.message.splitlines()
    assert first.startswith("Exception in callback fail() at ")
    assert second.startswith("handle: <Handle fail() at ")
    assert isinstance(record.exc_info[1], OSError)
    assert "raise OSError" in caplog.text


def test_the_default_writes_what_it_is_told_sorted_by_name(loop, caplog):
    loop.default_exception_handler({"message": "something", "zebra": 1, "apple": "two"})
    (record,) = caplog.records
    assert record.message == "something\napple: 'two'\nzebra: 1"
    assert not record.exc_info
    caplog.clear()
    loop.call_exception_handler({})
    assert caplog.records[0].message == "Unhandled exception in event loop"


def test_a_handler_of_ones_own(loop):
    heard = []

    def handler(told_loop, context):
        heard.append((told_loop, context))

    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    handle = loop.call_soon(fail)
    turn(loop)
    ((told_loop, context),) = heard
    assert told_loop is loop
    assert context["handle"] is handle
    assert str(context["exception"]) == "in a callback"
    assert context["message"].startswith("Exception in callback fail() at ")
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


def test_what_cannot_be_called_is_no_handler(loop):
    with pytest.raises(TypeError, match=r"^A callable object or None is expected, got 'spam'$"):
        loop.set_exception_handler("spam")


def test_a_handler_that_raises_is_reported_in_the_log(loop, caplog):
    def handler(loop, context):
        raise ZeroDivisionError("in the handler")

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    turn(loop)
    (record,) = caplog.records
    assert record.message.startswith("Unhandled error in exception handler\ncontext: {")
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_the_handler_and_the_loop(loop, interrupt):
    def handler(loop, context):
        raise interrupt

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    with pytest.raises(interrupt):
        loop.run_forever()
    loop.set_exception_handler(None)


def test_a_default_handler_that_raises_is_reported_and_nothing_breaks(kind, caplog):
    base = rota.Loop if kind == "rota" else asyncio.SelectorEventLoop

    class Odd(base):
        def default_exception_handler(self, context):
            raise ZeroDivisionError("in the default handler")

    loop = Odd()
    loop.call_soon(fail)
    turn(loop)
    loop.close()
    (record,) = caplog.records
    assert record.message == "Exception in default exception handler"


def test_what_cannot_be_shown_is_reported_all_the_same(loop, caplog):
    class Unshowable:
        def __repr__(self):
            raise ZeroDivisionError

    loop.call_exception_handler({"message": "odd", "thing": Unshowable()})
    assert [record.message for record in caplog.records] == ["Exception in default exception handler"]


def test_the_handler_runs_in_the_context_of_what_failed(loop, kind):
    """asyncio does so since Python 3.12."""
    if kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("since Python 3.12")
    heard = []
    loop.set_exception_handler(lambda loop, context: heard.append(variable.get()))
    context = contextvars.copy_context()
    context.run(variable.set, "the callback's")
    loop.call_soon(fail, context=context)

    async def child():
        variable.set("the task's")
        raise OSError

    async def main():
        loop.create_task(child())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    gc.collect()
    assert heard == ["the callback's", "the task's"]


def test_a_callback_that_raises_does_not_stop_the_others(loop, reports):
    heard = []
    loop.call_soon(fail)
    loop.call_soon(heard.append, 1)
    loop.call_later(1, fail)
    loop.call_later(2, heard.append, 2)
    loop.run_until_complete(asyncio.sleep(3))
    assert heard == [1, 2]
    assert [report["message"].startswith("Exception in callback fail()") for report in reports] == [True, True]
