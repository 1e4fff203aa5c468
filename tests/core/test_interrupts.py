"""An interrupt is noted whoever catches it, in the main thread and where it is heard at all."""

import signal
from threading import Thread

import pytest

from lastbit.core.interrupts import noticed


@pytest.fixture(autouse=True)
def heard():
    """Whoever started the tests may ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallowed():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return


def test_one_that_is_swallowed_is_noted():
    with noticed() as interrupts:
        interrupts.check()
        swallowed()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_is_raised_as_ever():
    with pytest.raises(KeyboardInterrupt), noticed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_that_comes_of_it_is_it():
    def fail(asked):
        with noticed():
            if asked:
                swallowed()
            raise AttributeError("half a module")

    with pytest.raises(KeyboardInterrupt):
        fail(True)
    with pytest.raises(AttributeError, match="half a module"):
        fail(False)


def test_who_ignores_it_goes_on():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with noticed() as interrupts:
        signal.raise_signal(signal.SIGINT)
    assert not interrupts.seen
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_hears_none():
    seen = []

    def run():
        with noticed() as interrupts:
            seen.append(interrupts.seen)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
