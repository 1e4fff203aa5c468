"""The decision in one sentence, as one of three words, and what would settle what is open."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import count, number, plural, show
from lastbit.studies.compare.decide import ArmRow, Decided, Pair
from lastbit.studies.frame.result import Verdict

__all__ = ["compare_verdict", "pair_words"]


def compare_verdict(decided: Decided) -> Verdict:
    """Return the verdict of a comparison.

    The words: `real` (a difference was shown), `no_difference` (none worth what was named can be there), `undecided`,
    `no_runs` (too few runs are in to compare). Of several arms it is `real` where one pair is, and `no_difference`
    where all are.
    """
    if not decided.pairs:
        empty = [arm for arm in decided.arms if arm.seeds < 2]
        names = ", ".join(f"{arm.letter} has {plural(arm.runs, 'run')} that counts" for arm in empty)
        left = "; ".join(f"{arm.letter} lost {arm.left_out}" for arm in empty if arm.left_out)
        return Verdict(f"nothing can be compared yet: {names}.", "no_runs", left)
    if len(decided.arms) == 2:
        return _of_two(decided, decided.pairs[0])
    return _of_several(decided)


def pair_words(decided: Decided, pair: Pair) -> str:
    """Return what is said of two arms, without their difference."""
    if pair.verdict == "real":
        worse = pair.a if pair.better == pair.b else pair.b
        return f"{pair.better} is better than {worse}"
    if pair.verdict == "no_difference":
        return f"{pair.b} and {pair.a} differ by less than {_in_points(decided, decided.worth)}"
    return f"whether {pair.b} is better than {pair.a} is undecided"


def _of_two(decided: Decided, pair: Pair) -> Verdict:
    apart = show(pair.difference, decided.points)
    seeds = _seeds(decided.arms)
    said = f"{pair_words(decided, pair)} in {decided.metric}: {pair.b} − {pair.a} = {apart}, {seeds}."
    advice = [f"{_capital(pair.reason)}."] if pair.reason and pair.verdict != "real" else []
    chance = show(pair.probability_better, "%")
    if chance.measured:
        advice.append(f"A fresh run of {pair.b} beats a fresh run of {pair.a} with a chance of {chance}.")
    advice += _settling(decided, pair)
    advice += _last_bit(decided)
    return Verdict(said, pair.verdict, " ".join(advice))


def _settling(decided: Decided, pair: Pair) -> list[str]:
    """Return how many seeds would settle it, where it is open."""
    found = decided.comparison
    if pair.verdict != "undecided" or found is None:
        return []
    said = []
    needed = found.seeds_to_settle
    if needed.estimate is not None:
        said.append(
            f"Were the observed difference the true one, {count(needed.estimate)} seeds of each arm would show it four "
            "times of five."
        )
    if found.seeds_for_worth is not None and found.seeds_for_worth.estimate is not None:
        worth = _in_points(decided, decided.worth)
        said.append(
            f"Were there none, {count(found.seeds_for_worth.estimate)} of each would show that it is below {worth}."
        )
    return said


def _last_bit(decided: Decided) -> list[str]:
    """Return what the last bit alone could have done."""
    bit = decided.last_bit
    if bit is None or bit.can_flip is None:
        return []
    if bit.can_flip:
        return ["The last bit alone can flip its sign: the same seeds, run again, may say the opposite."]
    return ["The last bit alone cannot flip its sign."]


def _of_several(decided: Decided) -> Verdict:
    real = [pair for pair in decided.pairs if pair.verdict == "real"]
    none = [pair for pair in decided.pairs if pair.verdict == "no_difference"]
    kind = "real" if real else "no_difference" if len(none) == len(decided.pairs) else "undecided"
    said = [pair_words(decided, pair) for pair in real[:4]]
    more = len(real) - len(said)
    told = ", ".join(said) + (f" and {plural(more, 'more pair')} differ" if more > 0 else "")
    left = len(decided.pairs) - len(real) - len(none)
    parts = [told] if real else []
    if none:
        parts.append(f"{plural(len(none), 'pair')} differ by less than {_in_points(decided, decided.worth)}")
    if left:
        parts.append(f"{left if real or none else 'all'} of {plural(len(decided.pairs), 'pair')} cannot be told apart")
    sentence = f"{'; '.join(parts)} in {decided.metric}, {_seeds(decided.arms)}."
    return Verdict(sentence, kind, "A pair that cannot be told apart is not shown to be equal." if left else "")


def _seeds(arms: Sequence[ArmRow]) -> str:
    counts = [arm.seeds for arm in arms]
    if len(set(counts)) == 1:
        return f"{plural(counts[0], 'seed')} each"
    return ", ".join(f"{plural(arm.seeds, 'seed')} of {arm.letter}" for arm in arms)


def _in_points(decided: Decided, value: float | None) -> str:
    return number(value, 3, decided.points)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
