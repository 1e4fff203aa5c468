import numpy as np
import pytest
import torch
from PIL import Image

from lastbit.core.errors import LastbitError
from lastbit.pde.cnn import CnnProblem, checkerboard
from lastbit.pde.cnn.images import load_image, make_image, white_noise
from lastbit.pde.cnn.problem import initial_kernels


def test_positions_and_pooling():
    image = torch.zeros(2, 3, 10, 8)
    valid = CnnProblem.of(image, kernel=(3, 2), label=[0, 1])
    assert valid.positions == (8, 7)
    assert valid.pool == pytest.approx(1 / 56)
    assert valid.kernel_shape == (3, 3, 2)
    periodic = CnnProblem.of(image, kernel=3, boundary="periodic", pooling="sum")
    assert periodic.positions == (10, 8)
    assert periodic.pool == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 5}, "window of 5 x 5 does not fit an image of 4 x 4"),
        ({"kernel": 0}, "window of 0 x 0 is empty"),
        ({"label": 2.0}, "label = 2.0: use a number from 0 to 1"),
        ({"label": float("nan")}, "use a number from 0 to 1"),
        ({"label": [0, 1]}, "2 labels for 1 images"),
        ({"beta": 0.0}, "beta = 0.0: use a positive number"),
        ({"beta": float("inf")}, "beta = inf"),
        ({"pooling": "max"}, "unknown pooling 'max'"),
        ({"boundary": "same"}, "unknown boundary 'same'"),
        ({"images": np.zeros((0, 4))}, "is empty"),
        ({"images": np.full((4, 4), np.nan)}, "NaN or infinite"),
        ({"images": np.zeros(4)}, "an image of 1 dimensions"),
        ({"images": np.zeros((4, 4), dtype=complex)}, "must be real"),
        ({"images": "picture"}, "must be an array of numbers"),
    ],
)
def test_bad_problems_are_refused_in_one_line(change, message):
    arguments = {"images": np.eye(4), "kernel": 2, **change}
    with pytest.raises(LastbitError, match=message) as caught:
        CnnProblem.of(arguments.pop("images"), **arguments)
    assert "\n" not in str(caught.value)


def test_images_are_what_they_say(tmp_path):
    board = checkerboard(6)
    assert board.shape == (1, 6, 6)
    assert board[0, 0, 0] == 1
    assert board[0, 0, 1] == -1
    assert board[0, 1, 1] == 1
    noise = white_noise(64, channels=2, seed=3)
    assert noise.mean().abs() < 0.05
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert not torch.equal(noise, white_noise(64, channels=2, seed=4))
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    Image.fromarray(pixels).save(tmp_path / "colours.png")
    colours = load_image(tmp_path / "colours.png", grey=False)
    np.testing.assert_allclose(colours.numpy(), pixels.transpose(2, 0, 1) / 127.5 - 1)
    assert make_image(str(tmp_path / "colours.png"), size=4).shape == (1, 4, 4)


def test_bad_image_files_are_refused_in_one_line(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("no image")
    with pytest.raises(LastbitError, match="cannot be read as an image"):
        load_image(text)
    with pytest.raises(LastbitError, match=r"is neither a file nor built in: give .* checkerboard, noise"):
        make_image("checkboard")
    with pytest.raises(LastbitError, match="image size = 0"):
        make_image("noise", size=0)
    with pytest.raises(LastbitError, match="use 1 \\(luma\\) or 3"):
        make_image(str(text), channels=2)


def test_initial_kernels_are_streams_of_their_seeds():
    problem = CnnProblem.of(checkerboard(40), kernel=20)
    kernels = initial_kernels(problem, seeds=(0, 1), scale=2.0)
    assert kernels.shape == (2, 1, 20, 20)
    assert kernels.std() == pytest.approx(2.0, rel=0.1)
    assert torch.equal(kernels[1], initial_kernels(problem, seeds=(1,), scale=2.0)[0])
    with pytest.raises(LastbitError, match="no seed"):
        initial_kernels(problem, seeds=())
