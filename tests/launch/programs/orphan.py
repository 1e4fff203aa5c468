"""Starts a process that does not end when asked, in a session of its own, and does not end itself."""

import subprocess
import sys
import time

stubborn = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
if sys.argv[1:] != ["leave"]:
    time.sleep(600)
