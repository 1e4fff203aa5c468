"""Which of the numbers that a program prints could be its result, by their names, units and how they go on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from lastbit.launch.metrics.hits import Form, Hit

__all__ = ["is_no_result", "likelihood"]

_METRICS = re.compile(
    r"acc|accuracy|auc|auroc|bleu|bpb|bpc|cer|corr|dice|elbo|err|error|f1|fid|iou|kappa|logloss|loss|mae|map|"
    r"mcc|mse|nll|perplexity|ppl|precision|psnr|r2|recall|return|returns|reward|rmse|rouge|score|ssim|top1|"
    r"top5|wer"
)
_HELD_OUT = re.compile(r"val|valid|validation|test|eval|dev|holdout|best|final")
_NO_METRICS = re.compile(
    r"batch|batches|checkpoint|chunk|cpu|cuda|date|day|days|decay|device|devices|duration|elapsed|episode|episodes|"
    r"epoch|epochs|eta|examples|flos|fold|fps|game|generation|gpu|h|hour|hours|hr|hrs|images|index|it|iter|iteration|"
    r"iterations|iters|layers|learning|length|lr|mem|memory|min|mins|minute|minutes|momentum|ms|num|numpy|parameters|"
    r"params|pid|port|progress|python|pytorch|rank|rate|remaining|round|runtime|samples|sec|second|seconds|secs|seed|"
    r"size|speed|step|steps|throughput|time|timestamp|timesteps|took|torch|total|trial|update|updates|version|wall|"
    r"workers"
)
_NEUTRAL = re.compile(r"[0-9]*|all|current|global|local|mean|n|per|train|training|val|validation|test|eval|valid")
"""Words that make nothing else of a counter, a time or a setting beside which they stand."""

_TIMES = re.compile(
    r"ns|us|µs|ms|s|secs?|seconds?|min|mins|minutes?|h|hrs?|hours?|days?|(?:it|steps?|samples?)/s|m?s/\w+"
)
"""Units of times and speeds."""

_PROGRESS = re.compile(r"\W{0,3}\s*[0-9]{1,3}%\s?\|")
"""What stands behind the label of a progress bar."""


def _words_of(name: str) -> list[str]:
    return re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def is_no_result(name: str, hits: Sequence[Hit]) -> bool:
    """Tell whether a series is a counter, a time or a setting: by its name, its unit or how it goes on."""
    words, form = _words_of(name), hits[0].form
    if _any(_METRICS, words):
        return False
    telling = [word for word in words if not _NEUTRAL.fullmatch(word)]
    if telling and all(map(_NO_METRICS.fullmatch, telling)):
        # "Accuracy on the test images: 54%" is none of the images.
        return form.unit != "%" or not _any(_METRICS, [word.lower() for word in form.before])
    if _TIMES.fullmatch(form.unit) or all(map(_PROGRESS.match, (hit.line[hit.start + len(name) :] for hit in hits))):
        return True
    numbers = [hit.number for hit in hits]
    apart = {later.value - earlier.value for earlier, later in pairwise(numbers)}
    whole = all(number.text.isdigit() for number in numbers)
    # Two numbers are always evenly apart.
    return whole and len(numbers) > 2 and len(apart) == 1 and min(apart) > 0


def likelihood(name: str, form: Form, count: int) -> float:
    """Return how likely a series of `count` numbers is the result, for an order: larger is likelier."""
    words = _words_of(name)
    before = [word.lower() for word in form.before]
    metric, told = _any(_METRICS, words), _any(_METRICS, before)
    score = 4.0 * metric + 2.0 * _any(_HELD_OUT, words + before) + (count > 1)
    # "Accuracy of the network on the test images: 54%".
    score += 1.5 * (told and not metric)
    return score - 5.0 * (_any(_NO_METRICS, words) and not metric)


def _any(known: re.Pattern[str], words: Sequence[str]) -> bool:
    return any(map(known.fullmatch, words))
