"""Messages over the pipes of a process: whole or not at all, and nobody else's."""

import os
import pickle
import subprocess
import sys
import threading

import pytest

from lastbit.train.executors.channel import receive, send, unpacked


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as incoming, os.fdopen(writing, "wb", buffering=0) as outgoing:
        yield incoming, outgoing


def test_messages_larger_than_a_pipe_arrive_whole_and_in_order(pipe):
    incoming, outgoing = pipe
    said = [("first", bytes(3_000_000)), ("second", None), ("third", list(range(1000)))]

    def speak():
        for message in said:
            send(outgoing, message)

    speaker = threading.Thread(target=speak)
    speaker.start()
    heard = [unpacked(receive(incoming)) for _ in said]
    speaker.join()
    assert heard == said


@pytest.mark.parametrize("cut", [0, 3, 8, 20])
def test_a_message_that_was_cut_off_is_none(pipe, cut):
    incoming, outgoing = pipe
    body = pickle.dumps("a message that nobody finishes")
    outgoing.write((len(body).to_bytes(8, "big") + body)[:cut])
    outgoing.close()
    assert receive(incoming) is None


def test_what_cannot_be_pickled_writes_nothing(pipe):
    incoming, outgoing = pipe
    with pytest.raises(TypeError, match="cannot pickle"):
        send(outgoing, threading.Lock())
    outgoing.close()
    assert incoming.read() == b""


def test_a_process_reads_and_prints_nothing_between_the_messages():
    script = """
import os, subprocess, sys
from lastbit.train.executors.channel import own_streams, receive, send, unpacked
incoming, outgoing = own_streams()
print("of Python", flush=True)
os.write(1, b"of the system")
subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
send(outgoing, (sys.stdin.read(), unpacked(receive(incoming))))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        send(process.stdin, "asked")
        assert unpacked(receive(process.stdout)) == ("", "asked")
        assert receive(process.stdout) is None
    assert process.returncode == 0
