"""The trainings of `tests/studies/same/corpus` in pairs: some are equal but for rounding, some hold a defect."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "studies" / "same" / "corpus"
SEEDS = {"harmless": (5, 6), "defects": (7, 8)}
CLIPPED = {"harmless": (5, 6), "defects": (13, 14)}
"""Of the trainings, and of those with a clipped norm: none of them had a part in the rules as they are. What is said of
a part of a network that is scaled under a clipped norm was mended after defects at seeds 7 to 12 had been seen."""
_LINEAR = ("einsum", "transposed", "columns")
_CLASSES = ("logsumexp", "onehot", "gathered", "double_loss")
_NUMBERS = ("squares", "double_loss")
_SHIFTS = ("unfold", "shifts")
_GRADIENT = ("gradient_scale", "gradient")


@dataclass(frozen=True)
class Network:
    """One training of the corpus: what of it can be rewritten, and where defects can be planted."""

    name: str
    optimizer: str
    forms: tuple[str, ...]
    """Those of its layers, losses and steps; those of its optimizer come on top."""
    layers: tuple[str, ...]
    """Modules with parameters of their own, first to last."""
    dropouts: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    """Batch norms."""
    averaged: bool = False

    @property
    def halved(self) -> bool:
        """Whether its learning rate is halved after every quarter of the steps."""
        return self.name in ("perceptron", "deep", "depthwise")

    @property
    def clipped(self) -> bool:
        """Whether the norm of its gradient is limited."""
        return self.name in ("recurrent", "bag", "gated")

    def seeds(self, group: str) -> tuple[int, ...]:
        """Of its trainings in a group of pairs."""
        return (CLIPPED if self.clipped else SEEDS)[group]

    @property
    def written(self) -> bool:
        """Whether its optimizer's step is written out in `hand.py`."""
        return self.optimizer != "NAdam"

    @property
    def variants(self) -> tuple[str, ...]:
        """All forms that are equal in exact arithmetic."""
        fused = ("fused",) if self.optimizer in ("SGD", "Adam", "AdamW", "Adagrad") else ()
        hand = ("hand",) if self.written else ()
        averaged = ("averaged",) if self.averaged else ()
        return (*self.forms, "scaled", "foreach", *fused, *hand, *averaged)


NETWORKS = (
    Network(
        "perceptron",
        "SGD",
        (*_LINEAR, "product", *_CLASSES, "activations", "halves", "reordered", "autograd", "inductor"),
        ("first", "second", "last"),
        averaged=True,
    ),
    Network(
        "convolution",
        "SGD",
        (*_SHIFTS, "norms", *_CLASSES, "layout", "reordered", "decomposed"),
        ("first", "second", "last"),
        norms=("first_norm", "second_norm"),
    ),
    Network(
        "pictures",
        "AdamW",
        (*_SHIFTS, "columns", *_CLASSES, "summed", "activations", "masks"),
        ("first", "second", "hidden", "last"),
        dropouts=("early", "late"),
    ),
    Network(
        "residual",
        "Adam",
        (*_SHIFTS, "einsum", "norms", *_CLASSES, "summed", "halves", "reordered", "layout", "recomputed", "inductor"),
        ("stem", "one.enter", "one.leave", "two.enter", "two.leave", "last"),
        averaged=True,
    ),
    Network(
        "recurrent",
        "RMSprop",
        (*_CLASSES, "cells", "onehot_tokens", "indexed", "halves", "reordered"),
        ("table", "layer", "last"),
    ),
    Network(
        "transformer",
        "AdamW",
        ("columns", "logsumexp", "gathered", "norms", "matmul", "by_head", "three", "masks", "indexed", "autograd"),
        ("table", "places", "one.queries", "one.joined", "one.wide", "two.queries", "two.narrow", "last"),
        dropouts=("one.dropped", "two.dropped"),
        averaged=True,
    ),
    Network(
        "autoencoder",
        "NAdam",
        (*_LINEAR, *_NUMBERS, "activations", "halves", "reordered", "decomposed", "inductor"),
        ("enter", "code", "back", "leave"),
    ),
    Network(
        "bag",
        "Adagrad",
        (*_LINEAR, "logsumexp", "onehot", "gathered", "onehot_tokens", "indexed", "masks"),
        ("table", "hidden", "last"),
        dropouts=("dropped",),
    ),
    Network(
        "deep",
        "AdamW",
        (*_LINEAR, *_CLASSES, "norms", "activations", "masks", "inductor"),
        ("enter", "layers.0", "layers.2", "layers.5", "norms.3", "last"),
        dropouts=("dropped",),
    ),
    Network(
        "tabular",
        "Adam",
        ("einsum", "columns", *_NUMBERS, "norms", "activations", "masks"),
        ("first", "second", "second_norm", "last"),
        dropouts=("dropped",),
        norms=("first_norm", "second_norm"),
        averaged=True,
    ),
    Network(
        "depthwise",
        "Adam",
        (*_SHIFTS, "norms", *_CLASSES, "summed", "activations", "layout", "reordered", "decomposed", "inductor"),
        ("stem", "depth", "point", "last"),
        norms=("stem_norm", "depth_norm", "point_norm"),
    ),
    Network(
        "gated",
        "Adam",
        (*_LINEAR, *_CLASSES, "cells", "masks", "aot_eager"),
        ("layer", "last"),
        dropouts=("dropped",),
    ),
)


@dataclass(frozen=True)
class Pair:
    """A candidate against the reference of its network and seed."""

    network: Network
    seed: int
    kind: str
    """`harmless`, `arithmetic`, or what is wrong."""
    words: tuple[str, ...]
    """Options of the candidate, besides the seed."""
    what: tuple[str, ...] = ()
    """What must be named, one of these."""
    tensors: tuple[str, ...] = ()
    """Beginnings of the names of tensors of which one must be named; none: any."""
    step: int | None = None
    """The step that must be named; None: any."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """What is typed."""
        return ("python", str(CORPUS / f"{self.network.name}.py"), "--seed", str(self.seed), *self.words)


def harmless(network: Network, seed: int) -> Iterator[Pair]:
    """Yield candidates that are the reference but for rounding."""
    yield Pair(network, seed, "harmless", (), environment=(("OMP_NUM_THREADS", "2"),))
    for place, variant in enumerate(network.variants):
        # Each form at one seed or two, so that all of it stays below twenty minutes.
        if (place + seed) % 3:
            yield Pair(network, seed, "harmless", ("--variant", variant))


def arithmetic(network: Network, seed: int) -> Iterator[Pair]:
    """Yield candidates in lower precision, sound and with a layer's gradient a tenth too long."""
    layer = network.layers[seed % len(network.layers)]
    # One a seed: each takes four runs more than another candidate.
    precision = ("tf32", "bfloat16")[seed % 2]
    words = ("--precision", precision)
    yield Pair(network, seed, "arithmetic", words)
    longer = (*words, *_defect("gradient", layer, 0.1))
    yield Pair(network, seed, f"gradient in {precision}", longer, _GRADIENT, (f"{layer}.",))


def defects(network: Network, seed: int) -> Iterator[Pair]:
    """Yield candidates with one defect each."""

    def pair(kind, what, defect, place="", size=0.0, tensors=(), step=None):
        return Pair(network, seed, kind, _defect(defect, place, size), what, tensors, step)

    layers, optimizer = network.layers, ("optimizer",)
    for turn, size in enumerate((1e-5, 1e-4, 1e-3)):
        layer = layers[(seed + turn) % len(layers)]
        yield pair(f"gradient x (1 + {size})", _GRADIENT, "gradient", layer, size, (f"{layer}.",))
    if network.optimizer != "SGD":
        size = 1e-5 if network.name == "depthwise" else 1e-7
        yield pair("epsilon", optimizer, "epsilon", size=size, step=1)
        if network.written:
            yield pair("epsilon that no setting shows", optimizer, "hidden_epsilon", size=size)
    if network.optimizer in ("Adam", "AdamW"):
        for defect in ("first_moment", "second_moment", "no_correction"):
            yield pair("lost bias correction", optimizer, defect)
    for dropout in network.dropouts:
        # A batch norm behind it takes the factor out of the gradients again, and keeps it in its statistics.
        what = (*_GRADIENT, "buffer") if network.norms else _GRADIENT
        yield pair("dropout + 0.001", what, "dropout", dropout, 1e-3)
    for norm in network.norms:
        for size, sign in ((1e-3, "+"), (-1e-3, "-")):
            kind = f"batch norm's momentum {sign} 0.001"
            yield pair(kind, ("buffer",), "momentum", norm, size, (f"{norm}.running",))
    yield pair("schedule off by one", ("schedule",), "schedule", step=30 if network.halved else 1)
    # A gradient that is clipped does not show what it was divided by.
    yield pair("mean over one example fewer", _GRADIENT, "count", step=None if network.clipped else 1)
    if network.averaged:
        for step in (7 * seed, 40 + seed, 100 + seed):
            yield pair("an average misses one update", ("copy",), "missed", step, step=step)
    step = 11 + 23 * seed % 100
    yield pair("one other example", ("data", "gradient"), "swapped", step, 5, step=step)
    yield pair("decay on biases", optimizer, "decay", size=1e-2, step=1)
    if network.written:
        yield pair("decay on biases that no setting shows", optimizer, "hidden_decay", size=1e-2)


PAIRS = {"harmless": (harmless,), "defects": (arithmetic, defects)}
"""What makes the pairs of a group, for a network and a seed."""


def _defect(defect: str, place: object, size: float) -> tuple[str, ...]:
    words = {"--defect": defect, "--place": str(place), "--size": str(size) if size else ""}
    return tuple(word for name, value in words.items() if value for word in (name, value))
