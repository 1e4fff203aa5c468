import math
from typing import Annotated

import numpy as np
import pytest
import torch
from pydantic import Field, ValidationError, field_validator

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.core.recorder import Recorder
from lastbit.core.status import RunStatus


class Inner(Config):
    depth: Annotated[int, Field(gt=0)] = 1


class Settings(Config):
    lr: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: float = 0.0
    epochs: Annotated[int, Field(gt=0)] = 3
    name: str = "a"
    inner: Inner = Inner()

    @field_validator("name")
    @classmethod
    def _no_space(cls, value):
        if " " in value:
            raise ValueError("write it without spaces")
        if value == "refused":
            raise LastbitError("name = 'refused': another one")
        return value


def said(values, **options):
    with pytest.raises(LastbitError) as caught:
        validated(Settings, values, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_fits_is_taken():
    made = validated(Settings, {"lr": 1, "inner": {"depth": 2}})
    assert (made.lr, made.inner.depth, made.epochs) == (1.0, 2, 3)


def test_it_is_frozen_and_keyword_only():
    made = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        made.lr = 2.0
    with pytest.raises(TypeError):
        Settings(0.1)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"lr": math.nan}, ["lr must be a finite number, got nan"]),
        ({"weight_decay": math.inf}, ["weight_decay must be a finite number, got inf"]),
        ({"lr": -1.0}, ["lr must be above 0, got -1"]),
        ({"lr": "fast"}, ["lr must be a number, got 'fast'"]),
        ({"epochs": 2.5}, ["epochs must be a whole number, got 2.5"]),
        ({"name": "a b"}, ["name = 'a b'", "write it without spaces"]),
        ({"name": "refused"}, ["name = 'refused': another one"]),
        ({"inner": {"depth": 0}}, ["inner.depth must be above 0, got 0"]),
        ({"rate": 1}, ["unknown setting 'rate'", "choose one of lr, weight_decay, epochs, name, inner"]),
        ({"weight_decey": 1}, ["did you mean 'weight_decay'?"]),
    ],
)
def test_one_line_says_what_arrived_and_what_is_accepted(values, parts):
    message = said(values)
    assert all(part in message for part in parts), message


def test_the_flag_is_named_as_it_is_written():
    assert said({"weight_decay": "much"}, flag="--").startswith("--weight-decay must be a number")


def test_the_first_of_several_errors_is_said():
    assert said({"lr": -1, "epochs": -1}).startswith("lr must be above 0, got -1")


def test_choose_names_the_choices_and_the_closest():
    assert choose("adam", ["sgd", "adam"], "optimizer") == "adam"
    with pytest.raises(
        LastbitError, match=r"^unknown optimizer 'adm' \(did you mean 'adam'\?\): choose one of sgd, adam$"
    ):
        choose("adm", ["sgd", "adam"], "optimizer")
    with pytest.raises(LastbitError, match=r"^unknown --model 'zzz': choose one of cnn, mlp$"):
        choose("zzz", iter(["cnn", "mlp"]), "--model")


def test_errors_end_the_command_with_2():
    assert LastbitError("x").exit_code == 2


def test_statuses_are_the_words_that_are_stored():
    assert [str(status) for status in RunStatus] == ["ok", "diverging", "diverged", "crashed"]
    assert RunStatus("ok") is RunStatus.OK
    with pytest.raises(ValueError, match="fine"):
        RunStatus("fine")


def test_the_null_recorder_keeps_nothing():
    recorder = Recorder()
    recorder.arrays({"a": np.zeros(2)})
    recorder.save_checkpoint({"w": torch.zeros(2)}, {"position": 1})
    assert recorder.load_checkpoint() is None
