"""What each `pde` command and function is asked: every setting with its range, its default and what it means.

Nothing here imports PyTorch: the command line reads these classes to show its help.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, model_validator

from lastbit.core.config import Config
from lastbit.core.keywords import setting

__all__ = [
    "FLOWS",
    "PROBLEMS",
    "CnnSettings",
    "CnnStabilitySettings",
    "ComplexitySettings",
    "DeepStabilitySettings",
    "FlowSettings",
    "LinearSettings",
    "LinearSimulateSettings",
    "LinearStabilitySettings",
    "NetworkSettings",
    "PhaseSettings",
    "SimulateSettings",
    "WindowSettings",
]

PROBLEMS = (
    "cnn",
    "deep",
    "heat",
    "advection-upwind",
    "advection-centred",
    "advection-lax-wendroff",
    "advection-diffusion",
    "wave",
    "biharmonic",
    "anti-diffusion",
)
"""What `pde stability` knows: the networks, then the classical problems."""
FLOWS = tuple(name for name in PROBLEMS if name != "deep")
"""What `pde simulate` steps."""


def _hyphenated(name: object) -> object:
    return name.replace("_", "-") if isinstance(name, str) else name


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] < span[1] <= _LARGE:
        raise ValueError("use two positive numbers, the smaller first")
    return span


def _odd(factor: int) -> int:
    if factor % 2 == 0:
        raise ValueError("an even factor changes no rounding; use an odd one (3, 5, 7, ...)")
    return factor


_LARGE = 1e30
"""Largest of what has no natural end: squares and fourth powers of it are numbers still."""
_MANY = 1 << 30
"""Most steps, and most of whatever is counted."""
_LAST_SEED = (1 << 32) - 1
_POINTS = 1 << 14
"""Most points of a simulated grid: every one has its root condition."""

_PROBLEM, _SIZES, _BASE = "The problem", "The sizes", "The network around which they vary"

Image = Annotated[str, setting("image: checkerboard, noise, or a file", panel=_PROBLEM)]
ImageSize = Annotated[int, setting("rows and columns of the image", panel=_PROBLEM, ge=1, le=1 << 14)]
Kernel = Annotated[int, setting("rows and columns of the window", panel=_PROBLEM, ge=1, le=1 << 14)]
_DECAY = setting("weight decay", panel=_PROBLEM, ge=-_LARGE, le=_LARGE)
Decay = Annotated[float, _DECAY]
Twin = Annotated[
    Annotated[int, AfterValidator(_odd)] | None,
    setting("odd factor k: run a twin whose updates are rounded k-rescaled", panel=_PROBLEM, ge=3, le=1 << 20),
]
Format = Annotated[Literal["float64", "float32", "bfloat16"], setting("format of kernel and update")]
Scheme = Annotated[
    Literal["euler", "heavy-ball", "nesterov"],
    BeforeValidator(_hyphenated),
    setting("time scheme", panel=_PROBLEM),
]
Momentum = Annotated[
    float | None, setting("momentum of heavy-ball and nesterov", panel=_PROBLEM, shown="0.9", ge=0, lt=1)
]
Span = Annotated[tuple[float, float], AfterValidator(_rising)]
_STEP = setting("step (learning rate) to judge", flags=("--dt", "--lr"), gt=0, le=_LARGE)


class _Network(Config):
    """What the one-layer CNN and deep networks share."""

    channels: int = setting("channels of the image; a file has 1 or 3", 1, panel=_PROBLEM, ge=1, le=1 << 14)
    beta: float = setting("scale inside the swish", 1.0, panel=_PROBLEM, gt=0, le=_LARGE)
    pooling: Literal["mean", "sum"] = setting("pooling over positions", "mean", panel=_PROBLEM)
    scheme: Scheme = "euler"
    momentum: Momentum = None
    device: str = setting("where to compute: auto, cpu, cuda or cuda:N", "cpu", panel=_PROBLEM)


class CnnSettings(_Network):
    """The one-layer CNN and the scheme that steps it."""

    model_config = ConfigDict(title="cnn", json_schema_extra={"panel": "The one-layer network"})

    image: Image = "checkerboard"
    image_size: ImageSize = 256
    kernel: Kernel = 32
    label: float = setting("label", 1.0, panel=_PROBLEM, ge=0, le=1)
    boundary: Literal["valid", "periodic"] = setting("positions of the window", "valid")
    seed: int = setting("seed of a noise image and of the start", 7, panel=_PROBLEM, ge=0, le=_LAST_SEED)


class CnnStabilitySettings(CnnSettings):
    """Which weight decays of the one-layer CNN are stable at a step."""

    dt: Annotated[float, _STEP]
    weight_decay: Annotated[float | None, _DECAY] = None
    check: bool = setting("bisect the bounds by simulation too", False, flags=["--check"])
    gauss_newton: bool = setting(
        "keep the Gauss-Newton term of the transitioning regime", False, flags=["--gauss-newton"]
    )


class FlowSettings(CnnSettings):
    """A simulated flow of the one-layer CNN."""

    model_config = ConfigDict(json_schema_extra={})

    boundary: Literal["valid", "periodic"] = setting("positions of the window", "valid", panel=_PROBLEM)
    init_scale: float = setting("standard deviation of the start", 1.0, panel=_PROBLEM, gt=0, le=_LARGE)


class SimulateSettings(FlowSettings):
    """One member of the flow."""

    lr: float = setting("learning rate, the step", panel=_PROBLEM, gt=0, le=_LARGE)
    weight_decay: Decay
    steps: int = setting("steps", 1000, ge=1, le=_MANY)
    twin: Twin = None
    dtype: Format = "float64"
    record_every: int | None = setting("steps between records", None, shown="a hundredth of the steps", ge=1, le=_MANY)
    sharpness: bool = setting("record the sharpness, which takes time", True)


class WindowSettings(FlowSettings):
    """Both ends of the window of learning rates in which the flow is restrained."""

    weight_decay: float = setting("weight decay", panel=_PROBLEM, gt=0, le=_LARGE)
    steps: int = setting("steps of each simulation", 800, ge=1, le=_MANY)
    rtol: float = setting("relative width of the final brackets, at least 1/steps", 2.5e-3, gt=0, le=0.5)


class PhaseSettings(FlowSettings):
    """A logarithmic grid of learning rates and weight decays."""

    image_size: ImageSize = 64
    kernel: Kernel = 8
    lr_range: Span = setting("first and last learning rate", (0.02, 20.0))
    weight_decay_range: Span = setting("first and last weight decay", (0.1, 20.0))
    points: int = setting("points of each axis", 32, ge=2, le=1 << 12)
    steps: int = setting("steps of each member", 400, ge=1, le=_MANY)
    twin: Twin = None
    dtype: Format = "float64"


class NetworkSettings(_Network):
    """A network of many layers, its images, where it is linearised, and the scheme."""

    model_config = ConfigDict(title="deep", json_schema_extra={"panel": "The deep network"})

    depth: int = setting("layers", 2, ge=1, le=1 << 14)
    width: int = setting("channels between layers", 4, ge=1, le=1 << 14)
    kernel: Kernel = 3
    image: Image = "noise"
    image_size: ImageSize = 16
    label: float | None = setting("label", None, panel=_PROBLEM, shown="0 and 1 in turn", ge=0, le=1)
    activation: Literal["swish", "linear"] = setting("activation of every layer", "swish")
    images: int | None = setting("images of noise; anything else is a single one", None, shown="4", ge=1, le=1 << 14)
    image_seed: int = setting("seed of the noise", 0, ge=0, le=_LAST_SEED)
    gain: float = setting("variance of the weights times fan-in", 2.0, gt=0, le=_LARGE)
    weight_decay: Decay = 0.0
    train_steps: int = setting("steps of gradient descent before the answer", 0, ge=0, le=_MANY)
    train_lr: float = setting("learning rate of these steps", 0.1, gt=0, le=_LARGE)

    @model_validator(mode="after")
    def _require_images(self) -> Self:
        if self.image != "noise" and self.images not in (None, 1):
            raise ValueError(f"--images = {self.images}: {self.image} is a single image; leave --images out")
        return self


class DeepStabilitySettings(NetworkSettings):
    """Which steps and weight decays a deep network can bear."""

    seed: int = setting("seed of the weights", 0, panel=_PROBLEM, ge=0, le=_LAST_SEED)
    dt: Annotated[float | None, _STEP] = None


class ComplexitySettings(NetworkSettings):
    """How the stable learning rate moves with depth, width and kernel size, one varied at a time around a base."""

    model_config = ConfigDict(json_schema_extra={"panel": _PROBLEM})

    depths: tuple[int, ...] = setting(
        "layers to compare, or the word none to leave them out", (1, 2, 3, 4, 6), panel=_SIZES
    )
    widths: tuple[int, ...] = setting("channels to compare, or none", (2, 4, 8, 16), panel=_SIZES)
    kernels: tuple[int, ...] = setting("sides of the windows to compare, or none", (1, 3, 5, 7), panel=_SIZES)
    seeds: int = setting("draws of the weights, at every size", 8, panel=_SIZES, ge=1, le=1 << 14)
    depth: int = setting("layers", 3, panel=_BASE, ge=1, le=1 << 14)
    width: int = setting("channels between layers", 4, panel=_BASE, ge=1, le=1 << 14)
    kernel: int = setting("rows and columns of the windows", 3, panel=_BASE, ge=1, le=1 << 14)

    @model_validator(mode="after")
    def _require_trends(self) -> Self:
        grid = {"depth": self.depths, "width": self.widths, "kernel": self.kernels}
        for axis, sizes in grid.items():
            flag = f"--{axis}s {','.join(map(str, sizes))}"
            if any(not 1 <= size <= 1 << 14 for size in sizes):
                raise ValueError(f"{flag}: use sizes of 1 or more, at most {1 << 14}")
            if len(set(sizes)) < len(sizes):
                raise ValueError(f"{flag}: name each size once")
            if len(sizes) == 1:
                raise ValueError(f"{flag}: a trend needs two sizes or more; use --{axis} {sizes[0]} to hold it there")
        if max(self.kernels, default=0) > self.image_size:
            shown = ",".join(map(str, self.kernels))
            side = self.image_size
            raise ValueError(f"--kernels {shown}: no window may be larger than the image, {side} x {side}")
        if not any(grid.values()):
            raise ValueError("--depths, --widths and --kernels are all none: give one of them two sizes or more")
        return self


class LinearSettings(Config):
    """A classical problem and its scheme; what a problem does not have is refused."""

    model_config = ConfigDict(title="classical", json_schema_extra={"panel": "The classical problems"})

    dx: float = setting("grid spacing", 1.0, gt=0, le=_LARGE)
    dim: int = setting("number of dimensions", 1, ge=1, le=3)
    scheme: Annotated[
        Literal["euler", "heavy-ball", "nesterov", "rk2", "rk4", "backward-euler", "crank-nicolson", "leapfrog"],
        BeforeValidator(_hyphenated),
        setting("time scheme", panel=_PROBLEM),
    ] = "euler"
    momentum: Momentum = None
    diffusivity: float | None = setting(
        "diffusivity of heat, advection-diffusion, anti-diffusion", None, shown="1", gt=0, le=_LARGE
    )
    speed: float | None = setting(
        "speed of every advection, advection-diffusion, wave", None, shown="1", gt=0, le=_LARGE
    )
    stiffness: float | None = setting("stiffness of biharmonic", None, shown="1", gt=0, le=_LARGE)
    decay: float | None = setting("decay of anti-diffusion", None, shown="5", ge=-_LARGE, le=_LARGE)
    accuracy: int | None = setting(
        "even order of accuracy of heat, biharmonic, wave, advection-centred",
        None,
        shown="2",
        ge=2,
        le=12,
    )


class LinearStabilitySettings(LinearSettings):
    """Up to which step a classical problem is stable, and whether a given one is."""

    dt: Annotated[float | None, _STEP] = None


class LinearSimulateSettings(LinearSettings):
    """A classical problem, stepped on a periodic grid."""

    dt: float = setting("time step", gt=0, le=_LARGE)
    steps: int = setting("steps", 100, ge=1, le=1_000_000)
    points: int | None = setting("points along each axis", None, shown="64; 32 in 2-D, 16 in 3-D", ge=4, le=1 << 14)
    start: Literal["spike", "noise"] = setting("field at the start", "spike")
    seed: int = setting("seed of the noise", 0, panel=_PROBLEM, ge=0, le=_LAST_SEED)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along every axis."""
        return (self.points or {1: 64, 2: 32, 3: 16}[self.dim],) * self.dim

    @model_validator(mode="after")
    def _require_room(self) -> Self:
        if self.points is not None and self.points**self.dim > _POINTS:
            most = int(_POINTS ** (1 / self.dim) + 1e-9)
            raise ValueError(f"--points {self.points}: use at most {most} in {self.dim}-D")
        return self
