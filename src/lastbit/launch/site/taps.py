"""What a program may meet otherwise in another run: seeds, draws, entropy, clocks, files, folders, other programs.

Each is noted with the line of the user's, how often it came, and what was said or its digest; nothing is changed.
Of each line the last is kept and a digest of all, so that what is kept is bounded by the program's text.

Files, folders, connections and programs come from the interpreter's audit events. The functions that are replaced are
replaced by objects that call them, which do not bind to a class that holds them, as the plain ones do not.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any
from zlib import crc32

from lastbit.launch.site.digests import contents, digest, order
from lastbit.launch.site.lines import Place, is_users, packaged, place_of
from lastbit.launch.site.loaders import hear_batches

__all__ = ["Tap", "Taps", "taps"]

_MOST = 2000
"""Lines that are kept."""

_TEXT = 200

_NUMBERING = ("logging", "multiprocessing", "tempfile")
"""Modules that name files by the number of the process, see by it that they were forked, or prove by entropy to
another process that they are of the same program."""

_CLOCKS = ("time", "time_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns")

_WAITING = ("monotonic", "monotonic_ns", "clock_gettime", "clock_gettime_ns", "thread_time", "thread_time_ns")
"""Clocks of which only what the user's own lines ask is noted: locks, queues and connections ask them all the time."""

_CALENDARS = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Functions that ask the clock themselves where they are given no more arguments than these."""

_MACHINE = ("cpu_count", "getloadavg", "sched_getaffinity", "statvfs")
"""Functions of `os` that tell of the machine, as files under /proc and /sys do."""

_COMPILER = ("torch._inductor.async_compile", "torch._inductor.output_code")

_NO_DRAWS = ("seed", "getstate", "setstate", "get_state", "set_state")


class Tapped:
    """A function of the interpreter's that says what it returned.

    It is pickled as `module.name`, where it stands from now on.
    """

    def __init__(self, module: Any, name: str, note: Callable[[Any, tuple[Any, ...], Any], None]) -> None:
        self._plain = plain = getattr(module, name)
        self._note = note
        self.__module__ = module.__name__
        self.__name__ = self.__qualname__ = name
        self.__doc__ = plain.__doc__
        self.__wrapped__ = plain

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        result = self._plain(*args, **kwargs)
        self._note(sys._getframe(1), args, result)
        return result

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return repr(self._plain)


class Tap:
    """One line that met something, and what."""

    __slots__ = ("all", "at", "count", "kind", "line", "said", "what")

    def __init__(self, kind: str, what: str, line: Place | None) -> None:
        self.kind, self.what, self.line = kind, what, line
        self.said = ""
        self.all = 0
        self.count = 0
        self.at = (0, 0)


class Taps:
    """Everything that was noted in this process."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, Place | None], Tap] = {}
        self.now: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Exchanges so far, and operations since."""
        self.writer: Callable[[], None] | None = None
        """Called now and then with what was noted, in a process of which nothing else is heard."""
        self.worker: Callable[[], None] = lambda: None
        """Called where a process turns out to be a worker that loads data."""
        self.compiler: Callable[[str], None] = lambda name: None
        """Called with the name of each part of PyTorch's compiler that has been imported."""
        self._total = 0
        self._busy = threading.local()

    def note(self, kind: str, what: str, said: Callable[[], str], frame: Any) -> None:
        """Note that a line met something; what goes wrong here goes no further."""
        if getattr(self._busy, "on", False):
            return
        self._busy.on = True
        try:
            line, _, aside = place_of(frame)
            if aside or line is None or (line[2] == "<module>" and packaged(line[0])):
                return
            key, text = (kind, what, line), said()[:_TEXT]
            tap = self.kept.get(key)
            if tap is None:
                if len(self.kept) >= _MOST:
                    return
                tap = self.kept[key] = Tap(kind, what, line)
            tap.said = text
            tap.all = crc32(tap.said.encode("utf-8", "replace"), tap.all)
            tap.count += 1
            tap.at = self.now()
            self._total += 1
            if self.writer is not None and self._total & (self._total - 1) == 0:
                self.writer()
        except Exception:
            return
        finally:
            self._busy.on = False

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Note nothing in this thread: what lastbit does itself."""
        before, self._busy.on = getattr(self._busy, "on", False), True
        try:
            yield
        finally:
            self._busy.on = before

    def install(self) -> None:
        """Begin, with what is there before anything is imported."""
        os.urandom = Tapped(os, "urandom", partial(self._unless_numbering, "entropy", "os.urandom"))
        os.getpid = Tapped(os, "getpid", partial(self._unless_numbering, "process", "os.getpid"))
        if hasattr(os, "getrandom"):
            os.getrandom = Tapped(os, "getrandom", partial(self._returned, "entropy", "os.getrandom"))
        for name in _CLOCKS:
            setattr(time, name, Tapped(time, name, partial(self._returned, "time", f"time.{name}")))
        for name in filter(partial(hasattr, time), _WAITING):
            setattr(time, name, Tapped(time, name, partial(self._waited, f"time.{name}")))
        for name, given in _CALENDARS.items():
            setattr(time, name, Tapped(time, name, partial(self._dated, f"time.{name}", given)))
        for name in filter(partial(hasattr, os), _MACHINE):
            setattr(os, name, Tapped(os, name, partial(self._told, f"os.{name}")))
        sys.addaudithook(self._heard)

    def calls(self) -> dict[str, Callable[[], None]]:
        """Return, by the module after whose import it is due, what notes its seeds."""
        return {
            "random": self._random,
            "uuid": self._uuid,
            "numpy.random": self._numpy,
            "torch": self._torch,
            "torch.utils.data.dataloader": self._loader,
            "torch.utils.data._utils.worker": self._worker,
            **{name: partial(self._compiling, name) for name in _COMPILER},
        }

    def _returned(self, kind: str, what: str, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        self.note(kind, what, lambda: result.hex() if isinstance(result, bytes) else repr(result), frame)

    def _unless_numbering(self, kind: str, what: str, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        if not _numbers(frame):
            self._returned(kind, what, frame, args, result)

    def _waited(self, what: str, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        if is_users(frame):
            self._returned("time", what, frame, args, result)

    def _dated(self, what: str, given: int, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        if len(args) <= given or args[given] is None:
            self._returned("time", what, frame, args, result)

    def _told(self, what: str, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        self._machine(what, lambda: repr(result), frame)

    def _machine(self, what: str, said: Callable[[], str], frame: Any) -> None:
        """Note what was asked of the machine with the program's own line, also where a package asks for it."""
        while frame is not None and (packaged(frame.f_code.co_filename) or not is_users(frame)):
            frame = frame.f_back
        if frame is not None:
            self.note("machine", what, said, frame)

    def _seeded(self, what: str, frame: Any, args: tuple[Any, ...], result: Any) -> None:
        # What is returned says it where nothing is given: `torch.seed()`.
        given = args[0] if args else (result if isinstance(result, int) else None)
        self.note("seed", what, lambda: repr(given), frame)

    def _random(self) -> None:
        random: Any = sys.modules["random"]
        plain = random.Random.seed

        @wraps(plain)
        def seed(inst: Any, a: Any = None, *args: Any, **kwargs: Any) -> None:
            plain(inst, a, *args, **kwargs)
            what = "random.seed" if inst is random._inst else "random.Random"
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_code.co_filename == random.__file__:
                frame = frame.f_back
            # The interpreter's own modules name temporary files by such a generator.
            if a is not None or inst is random._inst or is_users(frame):
                self.note("seed", what, lambda: repr(a), frame)

        random.Random.seed = seed
        random.seed = random._inst.seed
        random._urandom = os.urandom  # it may have been imported before entropy was listened to
        self._draws(random, random._inst, random.getstate)

    def _uuid(self) -> None:
        # Made by the system, of the clock and of the machine; the others ask for entropy, which is heard.
        uuid: Any = sys.modules["uuid"]
        uuid.uuid1 = Tapped(uuid, "uuid1", partial(self._returned, "entropy", "uuid.uuid1"))

    def _numpy(self) -> None:
        random: Any = sys.modules["numpy.random"]
        for name in ("seed", "default_rng"):
            setattr(random, name, Tapped(random, name, partial(self._seeded, f"numpy.random.{name}")))
        self._draws(random, random.mtrand._rand, random.get_state)

    def _draws(self, module: Any, generator: Any, state: Callable[[], Any]) -> None:
        """Note what the functions of a module draw from its global generator."""
        for name, function in list(vars(module).items()):
            if getattr(function, "__self__", None) is generator and name not in _NO_DRAWS and name[0] != "_":
                tapped = Tapped(module, name, partial(self._drew, f"{module.__name__}.{name}", state))
                setattr(module, name, tapped)

    def _drew(self, what: str, state: Callable[[], Any], frame: Any, args: tuple[Any, ...], result: Any) -> None:
        def said() -> str:
            if isinstance(result, (int, float, str, bytes)):
                return repr(result)
            # What is shuffled or chosen from may be anything, and is left alone.
            drawn = result.tobytes() if hasattr(result, "tobytes") else repr(state()).encode()
            return f"crc32 {crc32(drawn):08x}"

        self.note("draw", what, said, frame)

    def _torch(self) -> None:
        torch: Any = sys.modules["torch"]
        for name in ("manual_seed", "seed"):
            tapped = self._python(getattr(torch, name), f"torch.{name}")
            for module in (torch, torch.random):
                setattr(module, name, tapped)
        for module in (torch.cuda, torch.cuda.memory):
            module.mem_get_info = Tapped(module, "mem_get_info", partial(self._told, "torch.cuda.mem_get_info"))
        for name in ("manual_seed", "manual_seed_all"):
            tapped = self._python(getattr(torch.cuda, name), f"torch.cuda.{name}")
            for module in (torch.cuda, torch.cuda.random):
                setattr(module, name, tapped)

    def _loader(self) -> None:
        hear_batches(lambda batch, frame: self.note("batch", "DataLoader", lambda: digest(batch), frame))

    def _worker(self) -> None:
        module: Any = sys.modules["torch.utils.data._utils.worker"]
        plain = module._worker_loop

        @wraps(plain)
        def loop(*args: Any, **kwargs: Any) -> Any:
            self.worker()
            try:
                return plain(*args, **kwargs)
            finally:
                if self.writer is not None:
                    self.writer()

        module._worker_loop = loop

    def _compiling(self, name: str) -> None:
        self.compiler(name)

    def _python(self, plain: Any, what: str) -> Any:
        """Return a function of Python's that says what it was given."""

        @wraps(plain)
        def tapped(*args: Any, **kwargs: Any) -> Any:
            with self.muted():  # it calls others that are tapped
                result = plain(*args, **kwargs)
            given = args or tuple(kwargs.values())
            self._seeded(what, sys._getframe(1), given, result)
            return result

        return tapped

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an audit event."""
        answer = _EVENTS.get(event)
        if answer is not None and not getattr(self._busy, "on", False):
            try:
                answer(self, args)
            except Exception:
                return

    def _opened(self, args: tuple[Any, ...]) -> None:
        path, mode, flags = args
        if not isinstance(path, (str, bytes)):
            return
        name = os.fsdecode(path)
        if name.endswith((".py", ".pyc", ".so")) or name == "/dev/null":
            return
        if name.startswith(("/proc/", "/sys/")):
            # Not looked into: some of these files wait, or are emptied by who reads them.
            self._machine(name, lambda: "read", sys._getframe(2))
            return
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else flags & 3
        said = (lambda: "written") if writes else partial(contents, name)
        self.note("file", name, said, sys._getframe(2))

    def _listed(self, args: tuple[Any, ...]) -> None:
        path = args[0] if args and args[0] is not None else "."
        if isinstance(path, (str, bytes)):
            self.note("folder", os.fsdecode(path), partial(order, os.fsdecode(path)), sys._getframe(2))

    def _connected(self, args: tuple[Any, ...]) -> None:
        if not _numbers(sys._getframe(2)):  # processes of one program talk through sockets too
            self.note("network", "connect", lambda: repr(args[1]), sys._getframe(2))

    def _started(self, args: tuple[Any, ...]) -> None:
        self.note("program", "start", lambda: repr(args[1]), sys._getframe(2))


def _numbers(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _NUMBERING


_EVENTS: dict[str, Callable[[Taps, tuple[Any, ...]], None]] = {
    "open": Taps._opened,
    "os.listdir": Taps._listed,
    "os.scandir": Taps._listed,
    "socket.connect": Taps._connected,
    "subprocess.Popen": Taps._started,
}


taps = Taps()
"""Those of this process."""
