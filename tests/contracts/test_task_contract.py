"""What every built-in task with every built-in network must hold to."""

import random
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.data import fashion_mnist
from lastbit.tasks.data.cifar10 import FILES
from lastbit.tasks.models import MODELS, NORMS
from lastbit.tasks.registry import TASKS

SMALL = 40

installed = pytest.mark.skipif(
    not all((fashion_mnist.SYSTEM_FOLDER / f"{name}.gz").is_file() for name in fashion_mnist.CHECKSUMS),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
EVERY_TASK = [pytest.param(name, marks=installed if name == "fashion-mnist" else ()) for name in TASKS]


@pytest.fixture(scope="module")
def cifar_folder(tmp_path_factory):
    """Images in CIFAR-10's form, so that its task needs no download."""
    folder = tmp_path_factory.mktemp("cifar")
    generator = np.random.default_rng(0)
    for name in FILES:
        records = generator.integers(0, 256, (50, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(50) % 10
        (folder / name).write_bytes(records.tobytes())
    return str(folder)


@pytest.fixture
def config(cifar_folder):
    def make(task, **settings):
        root = {"data_root": cifar_folder} if task == "cifar10" else {}
        return TaskConfig(task=task, train_size=SMALL, batch_size=8, **root, **settings)

    return make


def states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.mark.parametrize("name", EVERY_TASK)
def test_batches_have_the_declared_shapes_and_types(name, config):
    task = build_task(config(name))
    inputs, targets = task.train.batch(torch.tensor([3, 1, 1]))
    assert inputs.shape == (3, *TASKS[name].shape)
    assert inputs.dtype == torch.float32
    assert targets.shape == (3,)
    assert targets.dtype == torch.int64
    assert torch.equal(inputs[1], inputs[2])
    assert len(task.train) == SMALL


@pytest.mark.parametrize("name", EVERY_TASK)
def test_training_labels_are_balanced_and_all_there(name, config):
    labels = build_task(config(name)).train.tensors[1]
    assert labels.bincount(minlength=TASKS[name].classes).tolist() == [SMALL // 10] * 10


@pytest.mark.parametrize("name", EVERY_TASK)
def test_check_passes_and_leaves_the_global_generators_alone(name, config):
    before = states()
    build_task(config(name)).check()
    assert states() == before


@pytest.mark.parametrize("name", EVERY_TASK)
def test_all_training_images_together_are_standardised_in_each_channel(name, cifar_folder):
    part = {"data_root": cifar_folder, "train_size": 250} if name == "cifar10" else {}
    inputs = build_task(TaskConfig(task=name, **part)).train.tensors[0].double()
    assert (inputs.mean((0, 2, 3)).abs() < 1e-5).all()
    assert ((inputs.std((0, 2, 3), correction=0) - 1).abs() < 1e-5).all()


@pytest.mark.parametrize("name", EVERY_TASK)
def test_two_builds_give_the_same_examples_and_under_one_seed_the_same_network(name, config):
    networks = []
    for _ in range(2):
        task = build_task(config(name))
        torch.manual_seed(5)
        networks.append(task.model())
    torch.manual_seed(6)
    other = task.model()
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], value) for key, value in other.state_dict().items())


@pytest.mark.parametrize("name", EVERY_TASK)
def test_resolved_settings_are_complete_and_resolve_to_themselves(name, config):
    full = resolve(config(name))
    missing = [key for key, value in full.model_dump().items() if value is None]
    # Without a depth the network is the built-in one, and without a loss the task's own.
    assert missing in (["depth", "kernel", "loss"], ["depth", "kernel", "loss", "data_root"])
    assert resolve(full) == full
    settings = build_task(full).settings
    assert settings.items() >= full.model_dump(exclude={"data_root"}, exclude_none=True).items()
    assert settings["train_size"] == SMALL
    assert settings["parameters"] == sum(p.numel() for p in build_task(full).model().parameters())


@pytest.mark.parametrize("augment", ["none", "crop", "flip", "crop-flip"])
@pytest.mark.parametrize("name", EVERY_TASK)
def test_augmentation_keeps_shape_and_type(name, augment, config):
    task = build_task(config(name, augment=augment))
    inputs, _ = task.train.batch(torch.arange(5))
    if task.augment is None:
        assert task.augment_draws == 0
    else:
        augmented = task.augment(inputs, torch.rand(5, task.augment_draws))
        assert augmented.shape == inputs.shape
        assert augmented.dtype == inputs.dtype


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", [name for name in MODELS if name != "resnet56"])
@pytest.mark.parametrize("name", EVERY_TASK)
def test_every_network_fits_every_task(name, model, norm, config):
    width = 4 if model != "mlp" else 8
    task = build_task(config(name, model=model, norm=norm, width=width, activation="swish"))
    task.check()
    assert task.settings["model"] == model


@pytest.mark.parametrize("name", EVERY_TASK)
def test_training_one_epoch_twice_gives_the_same_bits(name, config):
    finals = []
    for _ in range(2):
        task = build_task(config(name, width=4))
        torch.manual_seed(0)
        model = task.model()
        optimizer = task.optimizer(model.parameters())
        schedule = task.schedule(optimizer, task.total_steps)
        for indices in torch.arange(SMALL).split(task.batch_size):
            inputs, targets = task.train.batch(indices)
            optimizer.zero_grad()
            task.loss(model(inputs), targets).backward()
            optimizer.step()
            schedule.step()
        finals.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*finals)
    assert finals[0].isfinite().all()


def test_a_built_in_task_can_be_sent_to_another_process():
    task = build_task(TaskConfig(augment="crop-flip", train_size=SMALL))
    sent = ForkingPickler.loads(ForkingPickler.dumps(task))
    sent.check()
    assert sent.settings == task.settings
    assert torch.equal(sent.train.tensors[0], task.train.tensors[0])


def test_a_task_is_changed_by_replace():
    task = build_task(TaskConfig())
    longer = replace(task, epochs=7)
    assert longer.settings["epochs"] == 7
    assert task.settings["epochs"] == 20
    assert longer.train.tensors[0] is task.train.tensors[0]
