"""The line at which a program stood, out of what the interpreter writes of all its threads."""

import faulthandler
import queue
import tempfile
import threading

import pytest

from lastbit.launch.pair.stuck import stood_at


def written_while(wait):
    """What the interpreter writes of the threads of a process that stands in `wait`."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback_later(0.2, file=file)
        wait()
        faulthandler.cancel_dump_traceback_later()
        file.seek(0)
        return file.read()


def test_the_users_line_stands_for_what_a_library_waits_in():
    def wait():
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=0.6)  # the line

    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    name, number = stood_at(written_while(wait)).split(":")
    done.set()
    other.join()
    with open(__file__) as file:
        assert (name, file.readlines()[int(number) - 1].split("#")[-1].strip()) == ("test_stuck.py", "the line")


@pytest.mark.parametrize("stacks", ["", "Timeout (0:00:01)!\nThread 0x1 (most recent first):\n  <no Python frame>"])
def test_where_no_line_is_known_none_is_named(stacks):
    assert stood_at(stacks) == ""
