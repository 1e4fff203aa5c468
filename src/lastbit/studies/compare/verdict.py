"""The decision in one sentence, as one of a few fixed words, and what would settle what is open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lastbit.report.formatting import capitalised, count, number, plural, show, show_chance
from lastbit.stats.settling import FOR_A_VERDICT
from lastbit.studies.compare.decided import UNNAMED, ArmRow, Decided, Pair
from lastbit.studies.compare.names import told_apart
from lastbit.studies.frame.result import Verdict

__all__ = ["compare_verdict"]

_SHOWN = 4
"""Arms that the verdict on several calls better."""


def compare_verdict(decided: Decided, *, finished: bool = True) -> Verdict:
    """Return the verdict of a comparison.

    The words: `real` (a difference was shown), `no_difference` (none worth what was named can be there), `undecided`,
    `all_diverged` (no run of any arm counts), `no_runs` (too few runs are in to compare). Of several arms it is `real`
    where one pair is, and `no_difference` where all are.

    Args:
        decided: what the arms say.
        finished: whether no further run comes.
    """
    if not decided.pairs:
        return _too_few(decided, finished)
    names = _names(decided.arms)
    said = _of_two(decided, decided.pairs[0], names) if len(decided.arms) == 2 else _of_several(decided)
    lost = [
        f"{arm.letter} lost {count(arm.lost)} of {plural(arm.lost + arm.runs, 'run')} ({arm.left_out})"
        for arm in decided.arms
        if arm.lost
    ]
    return said._replace(sentence=f"{', '.join(lost)}; of the others: {said.sentence}") if lost else said


def _too_few(decided: Decided, finished: bool) -> Verdict:
    """Return the verdict on arms of which one has too few runs: undecided where no further run comes."""
    lost = [arm for arm in decided.arms if arm.lost]
    left = "; ".join(f"{arm.letter} lost {arm.left_out}" for arm in lost)
    if finished and lost and not any(arm.runs for arm in decided.arms):
        return Verdict("no run of any arm ended with a finite result.", "all_diverged", capitalised(f"{left}."))
    few = [arm for arm in decided.arms if arm.seeds < 2] or list(decided.arms)
    has = ", ".join(f"{arm.letter} has {plural(arm.runs, 'run')} that count{'s' * (arm.runs == 1)}" for arm in few)
    if finished and lost:
        return Verdict(f"nothing can be compared, for {has}.", "undecided", capitalised(f"{left}."))
    why = f": {has}" if any(arm.runs for arm in decided.arms) else ""
    return Verdict(f"nothing can be compared yet{why}.", "no_runs", capitalised(f"{left}.") if left else "")


def _names(arms: Sequence[ArmRow]) -> dict[str, str]:
    """Return what a sentence calls each arm where it first stands: its letter, with what tells it apart."""
    told = told_apart([arm.name for arm in arms]) if len(arms) == 2 else [""] * len(arms)
    return {
        arm.letter: f"{arm.letter} ({name})" if name and name.upper() != arm.letter else arm.letter
        for arm, name in zip(arms, told, strict=True)
    }


def _words(decided: Decided, pair: Pair, names: Mapping[str, str]) -> str:
    """Return what is said of two arms, without their difference."""
    a, b, metric = names[pair.a], names[pair.b], _in(decided)
    if pair.verdict == "real":
        return f"{b} is better than {a}{metric}" if pair.better == pair.b else f"{a} is better than {b}{metric}"
    if pair.verdict == "no_difference":
        return f"{b} and {a} differ by less than {_worth(decided)}{metric}, if at all"
    return f"whether {b} is better than {a}{metric} is undecided"


def _of_two(decided: Decided, pair: Pair, names: Mapping[str, str]) -> Verdict:
    apart = f"{pair.b} − {pair.a} = {show(pair.difference, decided.points)}"
    sentence = f"{_words(decided, pair, names)}: {apart}, {_seeds(decided)}."
    advice = [_why(decided, pair)] if pair.verdict == "undecided" else []
    if pair.verdict == "real" and decided.sequential is not None and decided.sequential.remark:
        advice.append(f"{capitalised(decided.sequential.remark)}.")
    if pair.verdict == "real" and decided.comparison is not None and decided.comparison.within_worth:
        advice.append(f"It is below {_worth(decided)}, too small to matter.")
    chance = show_chance(pair.probability_better)
    if chance.measured:
        advice.append(f"A fresh run of {pair.b} beats a fresh run of {pair.a} with a chance of {chance}.")
    advice += _settling(decided, pair)
    advice += _last_bit(decided)
    return Verdict(sentence, pair.verdict, " ".join(one for one in advice if one))


def _worth(decided: Decided) -> str:
    worth = number(decided.worth, 3)
    return plural(worth, "point") if decided.points == "points" else f"{worth} {decided.points}".strip()


def _in(decided: Decided) -> str:
    return "" if decided.metric == UNNAMED else f" in {decided.metric}"


def _why(decided: Decided, pair: Pair) -> str:
    """Return why it is undecided: what so many seeds could have seen, where nothing else stands in the way."""
    found = decided.comparison
    seen = None if found is None or pair.reason != found.reason else found.smallest_seen
    if seen is None or seen.estimate is None or min(arm.seeds for arm in decided.arms) < FOR_A_VERDICT:
        return f"{capitalised(pair.reason)}." if pair.reason else ""
    least = number(seen.estimate, 2, decided.points)
    return f"So few seeds would have seen, four times of five, a true difference of {least} or more."


def _settling(decided: Decided, pair: Pair) -> list[str]:
    """Return how many seeds would settle it, where it is open."""
    found = decided.comparison
    if pair.verdict != "undecided" or found is None:
        return []
    said = []
    needed = found.seeds_to_settle
    if needed.estimate is not None:
        said.append(
            f"Were the observed difference the true one, {plural(needed.estimate, 'seed')} of each arm would show it "
            "four times of five."
        )
    if found.seeds_for_worth is not None and found.seeds_for_worth.estimate is not None:
        worth = _worth(decided)
        said.append(f"Were there none, {count(found.seeds_for_worth.estimate)} of each would show it is below {worth}.")
    elif decided.worth is None:
        said.append("Without --worth, no number of seeds can show that there is none.")
    return said


def _last_bit(decided: Decided) -> list[str]:
    """Return what the last bit alone could have done, where something tells."""
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
    parts = [f"{_order(real)}{_in(decided)}"] if real else []
    pairs = plural(len(decided.pairs), "pair")
    open_ = len(decided.pairs) - len(real) - len(none)
    rest = [f"of {pairs}, {count(len(none))} cannot differ by {_worth(decided)} or more"] if none else []
    if open_:
        rest.append(f"{count(open_)}{'' if none else f' of {pairs}'} cannot be told apart")
    if rest:
        said = " and ".join(rest) if real or none else f"none of {pairs} can be told apart"
        parts.append(said if real else f"{said}{_in(decided)}")
    sentence = f"{'; '.join(parts)}, {_seeds(decided)}."
    advice = [f"{capitalised(pair.reason)}." for pair in decided.pairs if pair.reason]
    if open_:
        advice.append("A pair that cannot be told apart is not shown to be equal.")
    return Verdict(sentence, kind, " ".join(dict.fromkeys(advice)))


def _order(pairs: Sequence[Pair]) -> str:
    """Return which arm is better than which others."""
    worse: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        worse[pair.better].append(pair.a if pair.better == pair.b else pair.b)
    best = sorted(worse, key=lambda letter: -len(worse[letter]))
    said = [f"{letter} is better than {_listed(sorted(worse[letter]))}" for letter in best[:_SHOWN]]
    more = sum(len(worse[letter]) for letter in best[_SHOWN:])
    return ", ".join([*said, *([f"and {plural(more, 'more pair')} differ"] if more else [])])


def _listed(letters: Sequence[str]) -> str:
    return " and ".join([*([", ".join(letters[:-1])] if len(letters) > 1 else []), letters[-1]])


def _seeds(decided: Decided) -> str:
    counts = [arm.seeds for arm in decided.arms]
    if len(set(counts)) > 1:
        return ", ".join(f"{plural(arm.seeds, 'seed')} of {arm.letter}" for arm in decided.arms)
    looked = decided.sequential
    of = f" of at most {count(looked.most)}" if looked is not None and looked.most not in (None, counts[0]) else ""
    return f"{plural(counts[0], 'seed')} each{of}"
