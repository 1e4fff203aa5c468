"""Metrics in what a program prints: by name, by pattern, and the list to choose from."""

import math
import re
import shlex
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics import MetricSeries, found, metric_specs, read_metric
from lastbit.launch.metrics.pattern import pattern_matches
from lastbit.launch.metrics.stdout import matched, named

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
VALUES = st.lists(st.floats(), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("name", "text", "values", "unit"),
    [
        ("val_acc", "val_acc: 0.91", (0.91,), ""),
        ("val_acc", "val_acc=0.91", (0.91,), ""),
        ("val_acc", "val_acc 91%", (91.0,), "%"),
        ("val acc", "val  acc = 1.2e-3", (0.0012,), ""),
        ("val_acc", '{"val_acc": 0.91}\n{"val_acc": NaN, "x": []}', (0.91, math.nan), ""),
        ("val.acc.1", '{"val": {"acc": [0.1, 0.2]}}', (0.2,), ""),
        ("val.acc", '{"val.acc": 0.5}', (0.5,), ""),
        ("val_acc", '{"message": "epoch 3, val_acc: 0.91"}', (0.91,), ""),
        ("acc", "epoch 3 loss 0.2 acc 91.0\nepoch 4 loss 0.1 acc 92.5\n", (91.0, 92.5), ""),
        ("Accuracy", "Test set: Average loss: 0.0279, Accuracy: 9910/10000 (99%)", (9910.0,), "/10000"),
        ("loss", "{'loss': 0.69, 'grad_norm': 1.2}\n{'eval_loss': 0.7}", (0.69,), ""),
        ("loss", "{'loss': '0.69', 'epoch': '1'}", (0.69,), ""),
        ("loss", "{'loss': np.float64(0.69)} tensor", (0.69,), ""),
        ("loss", "loss: tensor(0.2500, device='cuda:0', grad_fn=<NllLossBackward0>)", (0.25,), ""),
        ("test_acc", "│         test_acc          │    0.9123     │", (0.9123,), ""),
        ("test images", "Accuracy of the network on the 10000 test images: 54 %", (54.0,), "%"),
        ("Acc@1", "Epoch: [0][  10/5005]\tTime  0.5 ( 1.2)\tAcc@1   0.00 (  0.1)", (0.0,), ""),
        ("accuracy", "the accuracy is 0.93.", (0.93,), ""),
        ("loss", "loss: nan\nloss: -inf\n", (math.nan, -math.inf), ""),
        ("auc", "[1]\tvalid_0's auc: 0.9\n[2]\tvalid_0's auc: 0.95", (0.9, 0.95), ""),
        ("loss", "\x1b[32mloss\x1b[0m: \x1b[1m0.5\x1b[0m\r\n", (0.5,), ""),
        ("loss", "loss 0.3 loss 0.2", (0.3, 0.2), ""),
        # Keras rewrites a line by backspaces and carriage returns: the last state of each line counts.
        (
            "loss",
            "1/2 [==>..] - loss: 0.9\x08\x08\x08\r2/2 [====] - loss: 0.5\n1/2 - loss: 0.4\r2/2 - loss: 0.3\n",
            (0.5, 0.3),
            "",
        ),
        # tqdm: what it says of its rate changes with its rate, and an empty line may follow.
        (
            "loss",
            " 1/9 [40.1it/s, loss=0.3]\r 2/9 [1.1s/it, loss=0.2]\r\n 3/9 [?it/s, loss=0.1]\r   \n",
            (0.2, 0.1),
            "",
        ),
    ],
)
def test_what_programs_print(name, text, values, unit):
    series = named(text, name)
    assert str(series.values) == str(values)
    assert series.unit == unit


@settings(max_examples=40)
@given(NAMES, VALUES, st.sampled_from([": ", "=", " ", " = ", ":", "\t"]))
def test_a_printed_value_comes_back(name, values, sign):
    assume(name != "step")
    text = "".join(f"step {i} {name}{sign}{value!r}, done\n" for i, value in enumerate(values))
    series = named(text, name)
    assert str(series.values) == str(tuple(values))
    assert series.printed == tuple(map(repr, values))


@given(NAMES, st.sampled_from([*"_./@-", "a", "9"]), st.sampled_from([*"_./@-", "a", "9"]), st.booleans())
def test_a_name_is_never_found_inside_a_longer_word(name, before, after, first):
    word = f"x{before}{name}" if first else f"{name}{after}x"
    with pytest.raises(LastbitError, match="no number behind the name"):
        named(f"{word}: 0.5\n", name)


@pytest.mark.parametrize(
    "text", ["acc: 0,912", "acc: 1.2.3", "acc 12:30", "acc: 2026-11-27", "acc 1/2/3", "acc 0.5-0.6"]
)
def test_a_part_of_something_else_is_no_value(text):
    with pytest.raises(LastbitError, match="no number behind"):
        named(text, "acc")


@given(st.binary(max_size=400), NAMES)
def test_binary_output_is_survived(data, name):
    text = data.decode("utf-8", "replace")
    found(text)
    assert 0.5 in named(text.replace(name, "") + f"\n{name}: 0.5\n", name).values


def test_lines_of_several_forms_are_shown_with_flags_that_work():
    text = "train Loss: 0.5 Acc: 0.7\nval Loss: 0.2 Acc: 0.9\n" * 2
    with pytest.raises(LastbitError, match=r"2 different lines carry 'Acc' .*'train Loss: 0.5 Acc: 0.7'") as error:
        named(text, "Acc")
    flags = re.findall(r"--metric '([^']+)'", str(error.value))
    assert [by_flags(flag, text).values for flag in flags] == [(0.7, 0.7), (0.9, 0.9)]
    with pytest.raises(LastbitError, match="'train acc' or --metric 'val acc'"):
        named("epoch 1 train acc 0.5 val acc 0.3\n", "acc")
    with pytest.raises(LastbitError, match="2 different lines"):
        named('{"acc": 0.5}\nacc 0.3\n', "acc")
    with pytest.raises(LastbitError, match="2 different lines"):
        named("acc 5\nacc 50%\n", "acc")


def by_flags(flag, text):
    (spec,) = metric_specs(metric=[flag])
    return read_metric(spec, stdout=text, folder=None, since=0.0)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("epoch 1 loss 0.5 val_acc: 0.4\nepoch 2 loss 0.4 val_acc: 0.5\n", "--metric val_acc"),
        ("train Loss: 0.5 Acc: 0.7\nval Loss: 0.2 Acc: 0.9\n", "--metric 'val Loss'"),
        ("lr 0.1 seed 3\nfinal score 12.5\n", "--metric score"),
        ('{"step": 1, "val": {"acc": 0.5}}\n{"step": 2, "val": {"acc": 0.7}}\n', "--metric val.acc"),
        ("Accuracy of the network on the 10000 test images: 54 %\n", "--metric images"),
        ("epoch 1 quality: 0.5\n", "--metric quality"),
        ("| epoch 1 | loss  7.3 |\n| end of epoch 1 | loss  5.1 |\n", r"--metric '/^[\W\d_]*epoch\b.*\bloss\s+(\S+)/'"),
        ("[1]\ttrain's l2_loss: 0.1\tvalid's l2_loss: 0.2\n", r"--metric '/^[\W\d_]*train\b.*\bl2_loss:\s*(\S+)/'"),
        ("{'loss': 0.6, 'epoch': 1}\n{'eval_loss': 0.5, 'epoch': 1}\n", "--metric eval_loss"),
    ],
)
def test_what_is_found_is_ranked_and_its_flags_read_it(text, first):
    candidates = found(text)
    assert candidates[0].flag == first
    for candidate in candidates:
        series = by_flags(shlex.split(candidate.flag)[1], text)
        assert len(series.values) == candidate.count
        assert series.printed[-1] + series.unit == candidate.value


@pytest.mark.parametrize(
    "text",
    [
        "Epoch 3/3 test loss: 0.4\n",
        "step 10/100 loss 0.4 (1.2s)\nstep 20/100 loss 0.3 (1.3s)\n",
        "train:  12%|█▏        | 12/100 [00:01<00:09, 9.1it/s, loss=0.4]\n",
        "Epoch 0: 100%|██| 38/38 [00:00<00:00, 120.1it/s, lr=0.001, loss=0.4]\n",
        "38/38 [====] - 0s 2ms/step - loss: 0.4 - learning_rate: 0.001 - eta 12s\n",
        "Nov 27 17:10:34 loss: 0.4 elapsed 0.2 min, time per batch 3.1ms\n",
        "2026-11-27 17:10 loss: 0.4 train_runtime: 3.1 total_params: 2,410 seed=1\n",
        "update: 10 loss: 0.4\nturn 100 loss: 0.4\nturn 200 loss: 0.3\nturn 300 loss: 0.2\n",
        "{'loss': 0.4, 'learning_rate': 5e-05, 'epoch': 1.0, 'train_steps_per_second': 9.1}\n",
        "torch 2.5, lr 0.1, weight loaded in 3.2 s loss is 0.4 speed: 20it/s\n",
    ],
)
def test_counters_times_and_settings_are_not_offered_and_can_be_asked_for(text):
    assert {candidate.name for candidate in found(text)} == {"loss"}
    for name in ("Epoch", "step", "seed", "lr", "turn"):
        if re.search(rf"\b{name}[ =]\d", text):
            assert named(text, name).values


def test_a_number_that_grows_is_a_result_where_it_does_not_count():
    grows = "correct 530\ncorrect 541\ncorrect 547\nwin_rate: 0.5\nscore 1\nscore 2\nscore 3\n"
    assert {candidate.name for candidate in found(grows)} == {"correct", "win_rate", "score"}


def test_counters_alone_are_no_results_but_answer_a_misspelt_one():
    assert found("Epoch 3/3 lr 0.1\n") == ()
    with pytest.raises(LastbitError, match=r"write --metric Epoch$"):
        named("Epoch 3/3 lr 0.1\n", "epoch")
    with pytest.raises(LastbitError, match="no results with names; print one"):
        named("Epoch 3/3 lr 0.1\n", "accuracy")


def test_two_numbers_of_one_name_in_one_line_are_told_apart():
    long = "Epoch 3/3 with a very long beginning of the line, train loss: 0.31 test loss: 0.42 accuracy: 0.8"
    for line in ("train loss: 0.31 test loss: 0.42", long):
        with pytest.raises(LastbitError) as error:
            named(f"{line}\n", "loss")
        for whole in ("'loss' stands for 2 different numbers", "train loss: 0.31'", "test loss: 0.42'"):
            assert whole in str(error.value)
        assert re.search("by --metric '[^']*train loss' or --metric '[^']*test loss'", str(error.value))
    lines = [candidate.line for candidate in found(f"{long}\n")]
    assert lines == [
        "Epoch 3/3 with a very … 0.31 test loss: 0.42",
        "Epoch 3/3 with a very … loss: 0.42 accuracy: 0.8",
        "Epoch 3/3 with a very … line, train loss: 0.31",
    ]


def test_of_a_long_output_the_end_is_looked_at():
    text = "early: 0.5\n" + "x" * 5_000_000 + " acc: 0.5\nlate: 0.5\n"
    assert [candidate.name for candidate in found(text)] == ["late"]


def test_both_of_two_in_one_line_have_flags():
    candidates = found("[1]\ttrain's l2: 0.1\tvalid's l2: 0.2\n[2]\ttrain's l2: 0.05\tvalid's l2: 0.15\n")
    assert [candidate.value for candidate in candidates] == ["0.15", "0.05"]


def test_a_flag_stops_at_a_comma():
    text = "train loss:0.5,acc:0.7,k:1\nval loss:0.2,acc:0.9,k:1\n"
    assert {candidate.value for candidate in found(text)} == {"0.5", "0.7", "0.2", "0.9", "1"}


def test_at_most_twenty_are_shown_and_none_of_nothing():
    assert len(found("".join(f"m{'x' * i}: 0.{i}1\n" for i in range(40)))) == 20
    assert found("") == found("nothing to see\n") == ()


def test_no_match_names_what_there_is():
    with pytest.raises(LastbitError, match=r"no number behind the name 'ACC': write --metric acc$"):
        named("acc: 0.5 loss: 0.3\n", "ACC")
    with pytest.raises(LastbitError, match=r"print one, as in 'val_acc: 0.91'"):
        named("hello\n", "acc")


def test_patterns():
    text = "train acc=0.5\nval acc=0.75,\n"
    assert matched(text, r"val acc=(\S+)").values == (0.75,)
    assert matched(text, r".*acc=(\S+)").values == (0.5, 0.75)
    assert matched("acc 1\racc 2\r\n", r"acc (\d)").values == (2.0,)
    with pytest.raises(LastbitError, match="matches 2 different lines"):
        matched(text, r"acc=(\S+)")
    with pytest.raises(LastbitError, match="matches no line of the output: write --metric"):
        matched(text, r"loss=(\S+)")
    with pytest.raises(LastbitError, match=r"holds 'acc=0.5', which is no number"):
        matched(text, r"train (\S+)")


def test_a_pattern_that_takes_for_ever_is_ended():
    start = time.monotonic()
    with pytest.raises(LastbitError, match=r"takes more than 0.5 s on this output"):
        pattern_matches([(0, ["a" * 40 + "!"])], r"^((?:a+)+)$", limit=0.5)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "line",
    [
        "a" * 200_000,
        "acc " * 50_000,
        "acc: " + " " * 200_000,
        "9" * 200_000,
        "{" * 200_000,
        '{"a":' * 40_000,
        "\x1b[" * 100_000,
    ],
    ids=lambda line: line[:5],
)
def test_long_lines_take_linear_time(line):
    start = time.process_time()
    with pytest.raises(LastbitError, match="no number behind"):
        named(line, "acc")
    assert time.process_time() - start < 5


def test_thousands_of_lines_are_fast():
    text = "".join(f"epoch {i} loss {1 / (i + 1):.4f} val_acc: {i / 1e4:.3%}\n" for i in range(10_000))
    start = time.process_time()
    series = named(text, "val_acc")
    assert len(series.values) == 10_000
    assert series.digits[-1] == 5
    assert time.process_time() - start < 5


def test_a_series_has_no_lengths_that_differ():
    with pytest.raises(ValueError, match="one step and one printed text for each value"):
        MetricSeries(values=(1.0, 2.0), where="", steps=(1,))


def test_a_series_that_ends_in_nan_is_found():
    assert found("loss: 0.5\nloss: nan\nloss: -inf\n")[0].flag == "--metric loss"


def test_two_forms_of_one_name_both_have_a_flag_that_reads_them():
    text = "eval_acc: 0.5\neval_acc = 0.75\n"
    with pytest.raises(LastbitError, match="2 different lines") as error:
        named(text, "eval_acc")
    patterns = re.findall(r"'/(.*?)/'", str(error.value))
    assert [matched(text, pattern).values for pattern in patterns] == [(0.5,), (0.75,)]


def test_a_misspelt_name_is_answered_with_those_like_it():
    text = "train/loss: 1 train/acc: 2 val/loss: 3 val/acc: 4\n"
    for name, like in (("val/ac", "val/acc"), ("acc", "val/acc or --metric train/acc")):
        with pytest.raises(LastbitError, match=f"write --metric {like}"):
            named(text, name)


def test_what_is_logged_as_errors_is_read_where_stdout_does_not_say_it():
    logged = "INFO:root:val_acc: 0.5\nINFO:root:val_acc: 0.75\nloss: 9\n"
    assert named("loss: 1\n", "val_acc", logged).values == (0.5, 0.75)
    assert named("loss: 1\n", "val_acc", logged).where.startswith("stderr, 2 lines")
    assert matched("loss: 1\n", r"acc: (\S+)", logged).values == (0.5, 0.75)
    assert named("loss: 1\n", "loss", logged).values == (1.0,)
    with pytest.raises(LastbitError, match="write --metric val_acc"):
        named("", "val_ac", logged)
