"""An exception that nobody looked at is reported when its future goes."""

import asyncio
import gc
import traceback

import pytest


def failed(loop, error):
    future = loop.create_future()
    future.set_exception(error)
    return future


def test_an_exception_nobody_looked_at_is_reported(loop, reports):
    error = OSError("unseen")
    future = failed(loop, error)
    shown = repr(future)
    del future
    gc.collect()
    (report,) = reports
    assert report["message"] == "Future exception was never retrieved"
    assert report["exception"] is error
    assert repr(report["future"]) == shown
    assert "source_traceback" not in report


@pytest.mark.parametrize("look", ["result", "exception", "await", "log_traceback", "cancel"])
def test_one_that_was_looked_at_is_not(loop, reports, look):
    """cancel() on a done future counts as looking, as it does for asyncio."""
    future = failed(loop, OSError("seen"))
    if look == "result":
        with pytest.raises(OSError):
            future.result()
    elif look == "exception":
        future.exception()
    elif look == "await":
        with pytest.raises(OSError):
            loop.run_until_complete(future)
    elif look == "log_traceback":
        future._log_traceback = False
    else:
        assert future.cancel() is False
    del future
    gc.collect()
    assert reports == []


def test_a_result_a_cancellation_and_a_pending_future_go_quietly(loop, reports):
    loop.create_future().set_result(1)
    loop.create_future().cancel()
    loop.create_future()
    gc.collect()
    assert reports == []


def test_a_task_that_failed_unseen_is_reported_once(loop, reports):
    error = OSError("unseen")

    async def fail():
        raise error

    async def main():
        task = loop.create_task(fail(), name="lost")
        while not task.done():
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    error.__traceback__ = None
    gc.collect()
    (report,) = reports
    assert report["message"] == "Task exception was never retrieved"
    assert report["exception"] is error
    assert report["future"].get_name() == "lost"


def test_in_debug_mode_the_report_says_where_the_future_was_made(loop, reports):
    loop.set_debug(True)
    future = failed(loop, OSError())
    del future
    gc.collect()
    made_at = traceback.format_list(reports[0]["source_traceback"])
    here = [line for line in made_at[-2:] if "test_future_unretrieved.py" in line]
    assert "loop.create_future()" in here[-1]


def test_a_report_that_raises_is_reported_and_nothing_breaks(loop, caplog):
    def raising(loop, context):
        raise ZeroDivisionError("in the handler")

    loop.set_exception_handler(raising)
    future = failed(loop, OSError("unseen"))
    del future
    gc.collect()
    assert "Unhandled error in exception handler" in caplog.text
    assert "in the handler" in caplog.text
