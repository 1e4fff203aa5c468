"""C10: restrained instabilities occur at the edge of stability: sharpness rises to its threshold and hovers there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lastbit.report.formatting import plural, show
from lastbit.stats import Estimate
from lastbit.studies.eos.verdict import AT_EDGE
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, held, not_held, undecided
from lastbit.studies.paper.claims.c10_measure import Edges, Training, gathered, grouped, over_seeds, pieces_of
from lastbit.studies.paper.claims.c10_shown import drawings, remarks, tables

__all__ = ["CLAIM", "judge", "judge_batches"]

FEWEST = 3
"""Seeds of each rate."""

IGNORES = 0.25
"""Growth whose index is certainly below ignores the threshold."""


def judge(measured: Edges) -> Judged:
    """Judge the full batch: see `CLAIM`."""
    full = [one for one in measured.trainings if not one.batch]
    groups = grouped(full)
    if not groups or any(len({one.seed for one in group}) < FEWEST for group in groups):
        return undecided(f"fewer than {plural(FEWEST, 'seed')} of a rate were trained")
    found = [_hovers(group) for group in groups]
    for group in grouped(full, by="network"):
        found += [_rises(group), _grows(group)]
    return _together(found, f"all {plural(len(full), 'training')} of the full batch reach their threshold and hover")


def judge_batches(measured: Edges) -> Judged:
    """Judge the full batch and mini-batches: see `CLAIM`."""
    groups = sorted(grouped([one for one in measured.trainings if one.batch]), key=lambda group: group[0].batch)
    thin = any(len({one.seed for one in group}) < FEWEST for group in groups)
    if len({group[0].batch for group in groups}) < 2 or thin:
        return undecided(f"fewer than two sizes of batches, or than {plural(FEWEST, 'seed')}, were trained")
    full = judge(measured)
    found = [full, *map(_below, groups)]
    found += [_ordered(smaller, larger) for smaller, larger in pairwise(groups)]
    return _together(
        found, f"{full.why}; with mini-batches batch sharpness stays below, the lower the smaller they are"
    )


def _hovers(group: Sequence[Training]) -> Judged:
    """Judge the trainings of one rate: is each restrained, at its threshold once, and their mean within 10% of it."""
    what = group[0].named
    if lost := [one for one in group if not one.restrained]:
        return not_held(f"{what}: {plural(len(lost), 'training')} of {len(group)} blew up")
    tail = over_seeds(group, [one.tail.estimate for one in group])
    said = Number(
        name="ratio",
        says=f"sharpness over threshold, last third, mean over seeds ({what})",
        value=tail,
        reference=1.0,
        source="linear stability: 2/lr",
    )
    if below := [one for one in group if one.entered is None]:
        return not_held(f"{what}: {plural(len(below), 'training')} of {len(group)} never reached the threshold", said)
    if tail.estimate is None:
        return undecided(f"{what}: where a training settles is not measured", said)
    low, high = _ends(tail)
    if low >= 1 - AT_EDGE and high <= 1 + AT_EDGE:
        return held(f"{what}: {show(tail, digits=3)} of the threshold", said)
    if high < 1 - AT_EDGE or low > 1 + AT_EDGE:
        return not_held(f"{what}: the sharpness settles at {show(tail, digits=3)} of its threshold", said)
    return undecided(f"{what}: the interval of the ratio reaches beyond 10% of 1", said)


def _rises(network: Sequence[Training]) -> Judged:
    """Judge the trainings of a network at its smallest rate: did they begin below the threshold."""
    least = [one for one in network if one.lr == min(other.lr for other in network)]
    what, first = least[0].named, over_seeds(least, [one.first for one in least])
    said = Number(name="first", says=f"sharpness over threshold at the start ({what})", value=first)
    if any(one.first is None or one.first >= 1 - AT_EDGE for one in least):
        return undecided(f"{what}: begins at its threshold, so that no rise is to be seen", said)
    return held(f"{what}: begins at {show(first)}", said)


def _grows(network: Sequence[Training]) -> Judged:
    """Judge where the twins of a network part."""
    name = network[0].network
    if bad := next((one for one in network if one.unsound), None):
        return undecided(f"{bad.named}, seed {bad.seed}: {bad.unsound}, so no growth is the last bit's")
    told = [one for one in network if one.localised is not None]
    index = over_seeds(told, [one.localised for one in told])
    said = Number(
        name="localisation",
        says=f"(share of growth - share of steps above the threshold) / (1 - share of steps), {name}",
        value=index,
        reference=0.0,
        source="growth that ignores the threshold",
    )
    low, high = _ends(index)
    if index.estimate is None or index.n < FEWEST:
        return undecided(f"{name}: the threshold is exceeded in too few or nearly all steps to compare growth", said)
    if low > 0:
        return held(f"{name}: growth keeps to where the threshold is exceeded ({show(index)})", said)
    if high < IGNORES:
        return not_held(f"{name}: the twins' growth ignores the threshold, index {show(index)}", said)
    return undecided(f"{name}: whether growth keeps to where the threshold is exceeded cannot be told", said)


def _below(group: Sequence[Training]) -> Judged:
    """Judge mini-batches of one size: does their batch sharpness settle below the threshold."""
    what = group[0].named
    if lost := [one for one in group if not one.restrained]:
        return not_held(f"{what}: {plural(len(lost), 'training')} of {len(group)} blew up")
    tail = over_seeds(group, [one.batch_tail.estimate if one.batch_tail else None for one in group])
    said = Number(
        name="batch_ratio",
        says=f"batch sharpness over threshold, last third, mean over seeds ({what})",
        value=tail,
        reference=1.0,
        source="edge of stochastic stability: 2/lr (arXiv 2412.20553)",
    )
    if tail.estimate is None:
        return undecided(f"{what}: batch sharpness is not measured", said)
    low, high = _ends(tail)
    if high < 1:
        return held(f"{what}: batch sharpness at {show(tail)} of the threshold", said)
    if low >= 1:
        return not_held(f"{what}: batch sharpness reaches the threshold, {show(tail)}", said)
    return undecided(f"{what}: whether batch sharpness stays below the threshold cannot be told", said)


def _ordered(smaller: Sequence[Training], larger: Sequence[Training]) -> Judged:
    """Judge two sizes of batches: is the batch sharpness of the larger higher, seed by seed."""
    sides = [{one.seed: one.batch_tail.estimate for one in group if one.batch_tail} for group in (smaller, larger)]
    both = [(one, sides[0].get(one.seed), sides[1].get(one.seed)) for one in smaller]
    known = [(one, high - low) for one, low, high in both if low is not None and high is not None]
    rise = over_seeds([one for one, _ in known], [value for _, value in known])
    what = f"batches of {smaller[0].batch} and of {larger[0].batch}"
    said = Number(name="batch_rise", says=f"difference of batch sharpness over threshold, {what}", value=rise)
    low, high = _ends(rise)
    if rise.estimate is None or rise.n < FEWEST:
        return undecided(f"{what}: too few seeds to compare", said)
    if low > 0:
        return held(f"{what}: batch sharpness rises with the size", said)
    if high < 0:
        return not_held(f"{what}: batch sharpness falls as batches grow, by {show(rise)}", said)
    return undecided(f"{what}: which has the higher batch sharpness cannot be told", said)


def _together(found: Sequence[Judged], why: str) -> Judged:
    """Return the first that does not hold, else the first undecided, else that all hold; with every number."""
    numbers = tuple(said for one in found for said in one.numbers)
    for kind in ("not_held", "undecided"):
        for one in found:
            if one.kind == kind:
                others = [said for said in numbers if said not in one.numbers]
                return Judged(kind=one.kind, why=one.why, numbers=(*one.numbers, *others))
    return Judged(kind="held", why=why, numbers=numbers)


def _ends(one: Estimate) -> tuple[float, float]:
    """Return the interval; the estimate itself where the seeds say all the same."""
    middle = one.estimate if one.estimate is not None else float("nan")
    return middle if one.low is None else one.low, middle if one.high is None else one.high


CLAIM = Claim[Edges](
    id="C10",
    title="Restrained instabilities occur at the edge of stability",
    printed="the figure of sharpness over training against 2/lr",
    published=Form(
        says="Restrained instabilities occur at the edge of stability: in full-batch training the sharpness rises to "
        "the threshold 2/lr and hovers there, and the last bit's difference grows where the threshold is exceeded.",
        rule="For each network and rate, over at least three seeds: held if every training stays finite, begins more "
        "than 10% below the threshold (at the network's smallest rate), reaches it, and the 95% interval of the mean "
        "of sharpness over threshold, last third, lies within 10% of 1; and if growth keeps to where the threshold is "
        "exceeded: the index (share of growth - share of steps) / (1 - share of steps) is certainly above 0. Not held "
        "if a training blows up or never reaches the threshold, a mean is certainly outside 10%, or an index is "
        "certainly below 0.25. Undecided if an interval reaches across, a training begins at its threshold, an exact "
        "repeat differs, a perturbation did not land, or seeds are missing.",
        judge=judge,
    ),
    found=Form(
        says="Full-batch training does as published. With mini-batches batch sharpness stays below 2/lr, the further "
        "the smaller the batches.",
        rule="Held if the published form is, the mean of batch sharpness over threshold, last third, is certainly "
        "below 1 for each size of batches, and certainly higher for the larger, seed by seed; not held if the "
        "published form is not, or one of them is certainly the other way round; else undecided.",
        judge=judge_batches,
    ),
    scales={
        "small": "digits: a tanh mlp at two rates and a small tanh cnn, three seeds, full batch; batches of 32 and 128",
        "medium": "the same networks on Fashion-MNIST",
        "full": "5,000 images of CIFAR-10, six seeds and six twins: an mlp and VGG-11 without normalisation; "
        "batches of 32 and 128",
    },
    pieces=pieces_of,
    gather=gathered,
    drawings=drawings,
    tables=tables,
    remarks=remarks,
)
"""The claim."""
