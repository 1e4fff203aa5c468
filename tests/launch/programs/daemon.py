"""Starts a process that ignores SIGTERM, with a session, an environment and a parent of its own; ends, or goes on."""

import os
import signal
import sys
import time

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(writer, str(os.getpid()).encode())
    os.closerange(0, 100)
    os.chdir("/")
    os.execve("/bin/sh", ["sh", "-c", "sleep 600; exit"], {"PATH": os.defpath})
os.wait()
print(os.read(reader, 20).decode(), flush=True)
if sys.argv[1:] != ["leave"]:
    time.sleep(600)
