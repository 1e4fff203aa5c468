"""A headless browser that a test drives: it opens addresses, presses keys, has any size, and says what went wrong.

The browser takes commands through two pipes (Chrome DevTools Protocol): no port is opened, no library needed.
"""

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from contextlib import contextmanager

from browser import BROWSER

__all__ = ["Page", "driven"]


class Page:
    """The one page of the browser."""

    def __init__(self, reading, writing):
        self._reading, self._writing, self._left, self._number, self._session = reading, writing, b"", 0, None
        self.said = []
        """What was written to the console, refused by a policy, or raised."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._writing, json.dumps(asked).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, deadline):
        while b"\0" not in self._left:
            assert select.select([self._reading], [], [], max(0, deadline - time.monotonic()))[0], "no answer"
            self._left += os.read(self._reading, 1 << 20)
        line, _, self._left = self._left.partition(b"\0")
        told = json.loads(line)
        params = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.said.append(params["exceptionDetails"]["text"])
        if told.get("method") == "Runtime.consoleAPICalled":
            self.said.append(str(params["args"]))
        if told.get("method") == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        return told

    def open(self, address):
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script):
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not self._holds(condition):
            assert time.monotonic() < deadline, f"{condition}; the page said {self.said}"
            time.sleep(0.05)

    def _holds(self, condition):
        try:
            return self.evaluate(condition)
        except AssertionError:  # the page is being left for another
            return False

    def press(self, key, text=""):
        code = {"Tab": 9, "Enter": 13, " ": 32, "End": 35}.get(key, 0)
        text = text or {"Enter": "\r", " ": " "}.get(key, "")
        same = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **same)
        self.send("Input.dispatchKeyEvent", type="keyUp", **same)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def resize(self, width, height=900):
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def dark(self):
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def picture(self, path):
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        shot = self.send("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def driven(profile):
    """Start the browser, and stop it at the end."""
    from_test, to_test = os.pipe(), os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
    # The protocol is spoken over descriptors 3 and 4, whatever numbers the pipes have here.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in (from_test[0], to_test[1])]
    moved = f'exec 3<&{theirs[0]} 4>&{theirs[1]}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", moved, "bash", str(BROWSER), *options, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (from_test[0], to_test[1], *theirs):
        os.close(end)
    try:
        yield Page(to_test[0], from_test[1])
    finally:
        process.terminate()
        process.wait(20)
        os.close(from_test[1])
        os.close(to_test[0])
