"""What was printed is read a part at a time: the same as of one text, in memory that does not grow with it."""

import tracemalloc

import pytest

from lastbit.launch.metrics import hits
from lastbit.launch.metrics.stdout import found, matched, named

TEXT = (
    "epoch 1 | loss: 0.5 | acc 50%\r\n\x1b[1mepoch 2 | loss: 0.25\x1b[0m | acc 75%\r\n"
    + "".join(f"{i}/9 [00:0{i}, 3.1it/s, loss={i / 8}]\r" for i in range(9))
    + "loss=\r\n\nno number\x08\x08\x08\x08\x08\x08left 1.5 \ufffd\ufffd\n{'eval_acc': 0.75, 'epoch': 3.0}\n"
    + '{"test": {"acc": 0.125}}\r\nthe end acc=0.5'
)


@pytest.mark.parametrize("part", [1, 3, 40])
def test_the_parts_that_a_line_is_read_in_change_nothing(part, tmp_path, monkeypatch):
    whole = [number for number, _ in hits.segments(TEXT)], list(hits.all_hits(TEXT))
    assert whole[0] == list(range(8))
    path = tmp_path / "stdout.txt"
    path.write_bytes(TEXT.encode().replace("\ufffd".encode(), b"\xff"))
    monkeypatch.setattr(hits, "_PART", part)
    assert hits.all_hits(path) == hits.all_hits(TEXT) == whole[1]
    assert hits.pattern_hits(path, r"acc\D+([\d.]+)") == hits.pattern_hits(TEXT, r"acc\D+([\d.]+)")
    assert found(path) == found(TEXT)
    assert named(path, "test.acc").values == (0.125,)
    # Of a progress bar that rewrites its line the last state with the name counts.
    assert matched(path, r"^8/9.*loss=([\d.]+)").values == (1.0,)


@pytest.mark.parametrize("between", ["\n", "\r", " "])
def test_memory_does_not_grow_with_the_output(between, tmp_path, monkeypatch):
    for part in ("hits", "pattern"):
        monkeypatch.setattr(f"lastbit.launch.metrics.{part}._PART", 1 << 12)
    path = tmp_path / "stdout.txt"
    path.write_text(f"acc: 0.5{between}" + f"nothing to see here, move on{between}" * 40_000)
    assert path.stat().st_size > 1 << 20
    tracemalloc.start()
    try:
        assert named(path, "acc").values == matched(path, r"acc: ([\d.]+)").values == (0.5,)
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("newline", ["\n", "\r", " "])
def test_candidates_are_looked_for_at_the_end_of_a_long_output(newline, tmp_path, monkeypatch):
    monkeypatch.setattr("lastbit.launch.metrics.stdout.TEXT_LIMIT", 300)
    text = f"early: 1{newline}" + f"nothing{newline}" * 100 + f"acc: 0.5{newline}"
    path = tmp_path / "stdout.txt"
    path.write_text(text)
    for printed in (path, text):
        assert [one.name for one in found(printed)] == ["acc"]
