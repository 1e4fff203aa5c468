"""What every Python that the tests start begins with: torch without its compiler, until something asks for that.

An optimizer, when it is made, and a choice of deterministic algorithms import `torch._dynamo`, which takes as long as
the rest of torch does, for the sake of what does nothing outside of compiled programs. What stands here in its place
does as little, and gives way to the real one as soon as anything else is asked of it.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NAME = "torch._dynamo"
ASKED = []
"""The functions of torch's own that were to be disabled."""


class Light(ModuleType):
    """The compiler until it is needed."""

    chosen = None
    """Whether it is to be deterministic, where that was said."""

    def __getattr__(self, name):
        if name.startswith("__") and name != "__path__":  # `__path__` is asked for by imports of what lies below
            raise AttributeError(name)
        return getattr(compiler(), name)

    @staticmethod
    def graph_break(msg=""):
        """Do what it does where nothing is compiled: nothing."""

    def disable(self, fn=None, recursive=True, **options):
        """Return a function of torch's own as it is, which asks here once; any other is the real one's affair."""
        if not is_light() or options != {"wrapping": False}:
            return compiler().disable(fn, recursive, **options)
        ASKED.append(fn)
        return fn


def is_light():
    """Tell whether the real one was not asked for yet."""
    return type(sys.modules.get(NAME, FINDER)) in (Light, Finder)


def compiler():
    """Return the real one."""
    if is_light():
        sys.modules.pop(NAME, None)
        FINDER.stands_in = False
        found = import_module(NAME)
        for fn in ASKED:
            vars(fn).pop("__dynamo_disable", None)  # torch._compile keeps the answer there
        if Light.chosen is not None:
            import_module("torch._inductor.config").deterministic = Light.chosen
        return found
    return sys.modules[NAME]


class Finder:
    """Finds the stand-in for the compiler; and torch, which it gives a word for it that does without."""

    stands_in = True

    def find_spec(self, name, path=None, target=None):
        """Name the real file: whoever asks every module for its file would load it otherwise."""
        if name == "torch":
            found = PathFinder.find_spec(name, path)
            if found is not None:
                found.loader.exec_module = after(found.loader.exec_module, lighten)
            return found
        if name == NAME and self.stands_in:
            found = ModuleSpec(name, self, origin=PathFinder.find_spec(name, path).origin)
            found.has_location = True
            return found
        return None

    def create_module(self, spec):
        """Let Python make the module."""

    def exec_module(self, module):
        """Change its class only now: Python asks a module that it makes for its path."""
        module.__class__ = Light


def after(work, then):
    """Return a function that does both."""

    def both(module):
        work(module)
        then(module)

    return both


def lighten(torch):
    """Let the choice of deterministic algorithms reach the compiler when there is one."""
    if not hasattr(torch, "use_deterministic_algorithms"):  # another module of that name
        return
    whole = torch.use_deterministic_algorithms

    def use_deterministic_algorithms(mode, *, warn_only=False):
        if is_light():
            Light.chosen = mode
            torch._C._set_deterministic_algorithms(mode, warn_only=warn_only)
        else:
            whole(mode, warn_only=warn_only)

    torch.use_deterministic_algorithms = use_deterministic_algorithms


FINDER = Finder()

if __name__ == "sitecustomize":
    sys.meta_path.insert(sys.meta_path.index(PathFinder), FINDER)  # behind whatever watches what is imported
