"""Hyper-parameters are compared parameter by parameter, however the groups are cut, and refusals list what differs."""

from lastbit.launch.forced.comparing import Comparing
from lastbit.launch.forced.refusal import refusal
from lastbit.launch.forced.rows import TableWriter, read_rows


def mismatches(tmp_path, reference, mine):
    writer = TableWriter(tmp_path / "rows.jsonl")
    writer.facts(begun=True)
    Comparing(writer).settings(4, reference, mine)
    writer.flush()
    return [(one.step, one.name, one.reference, one.candidate) for one in read_rows(tmp_path / "rows.jsonl").mismatches]


def test_groups_do_not_matter_and_values_do(tmp_path):
    reference = {"lr": {"0.1": ["a", "b", "c"]}, "weight_decay": {"0.0": ["a", "b", "c"]}, "eps": {"1e-08": ["a"]}}
    mine = {"lr": {"0.1": ["c"], "0.10000000149011612": ["a", "b"]}, "weight_decay": {"0.0": ["a"], "0.01": ["c", "b"]}}
    assert mismatches(tmp_path, reference, mine) == [(4, "weight_decay of b, c", "0.0", "0.01")]


def test_a_setting_of_all_parameters_is_named_alone(tmp_path):
    reference, mine = ({"betas": {f"({beta}, 0.999)": ["a", "b"]}} for beta in (0.9, 0.8))
    assert mismatches(tmp_path, reference, mine) == [(4, "betas", "(0.9, 0.999)", "(0.8, 0.999)")]
    assert mismatches(tmp_path, reference, reference)[1:] == []


def test_names_and_shapes_that_differ_are_listed():
    reference = {"a": (2, 3), "b": (), "c": (4,)}
    assert refusal(reference, dict(reference)) == ""
    said = refusal(reference, {"a": (2, 4), "b": (), "d": (4,)})
    assert said == (
        "only the reference trains c 4; only the candidate trains d 4; "
        "a is 2 x 3 in the reference and 2 x 4 in the candidate"
    )
    assert refusal({str(place): (1,) for place in range(9)}, {}).endswith("4 1 and 4 more")
