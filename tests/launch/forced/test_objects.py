"""What is found among living modules."""

import torch
from torch import nn

from lastbit.launch.forced.objects import Objects


def test_a_dropout_that_drops_nothing_is_no_reason_for_other_gradients():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.0), nn.Dropout2d(0.0), nn.BatchNorm1d(3))
    dropping = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))
    for one, layers in (
        (model, {"BatchNorm1d", "Linear", "Sequential"}),
        (dropping, {"Dropout", "Linear", "Sequential"}),
    ):
        objects = Objects(())
        found = objects.now(1, {id(param): place for place, param in enumerate(one.parameters())})
        assert set(objects.facts()["layers"]) == layers
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.tensors["buffer"].values())
