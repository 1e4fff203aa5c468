"""Where the data sets are looked for, what is read, and what is said when they are missing or damaged."""

import functools
import gzip
import hashlib
import http.server
import io
import logging
import tarfile
import threading

import numpy as np
import pytest
from sklearn import datasets

from lastbit.core.errors import LastbitError
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task
from lastbit.tasks.data import cifar10, digits, fashion_mnist
from lastbit.tasks.data.cifar10 import load_cifar10
from lastbit.tasks.data.fashion_mnist import CHECKSUMS, load_fashion_mnist
from lastbit.tasks.data.images import standardised_splits

installed = pytest.mark.skipif(
    not all((fashion_mnist.SYSTEM_FOLDER / f"{name}.gz").is_file() for name in CHECKSUMS),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No data set of this machine is in reach unless a test says so; pooch's log stays out of the output."""
    monkeypatch.delenv("LASTBIT_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "system")
    logging.getLogger("pooch").setLevel(logging.ERROR)


def fashion_files(count=(20, 10)):
    """Small files in Fashion-MNIST's form, by name."""
    generator = np.random.default_rng(0)
    files = {}
    for part, n in zip(("train", "t10k"), count, strict=True):
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[f"{part}-images-idx3-ubyte"] = (
            b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()
        )
        files[f"{part}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + np.array(n, ">u4").tobytes() + labels.tobytes()
    return files


def write(folder, files, *, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return folder


@pytest.fixture
def serve():
    """A server on this machine alone that gives out a folder."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    def start(folder):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_digits_are_those_of_scikit_learn_split_without_overlap():
    images = digits.load_digits()
    everything = np.concatenate([images.train, images.test])[:, 0]
    reference = datasets.load_digits()
    assert everything.shape == (1797, 8, 8)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, reference.images.astype(np.uint8)))
    labels = {
        bytes(image): label for image, label in zip(reference.images.astype(np.uint8), reference.target, strict=True)
    }
    assert all(
        labels[bytes(image)] == label for image, label in zip(images.test[:, 0], images.test_labels, strict=True)
    )
    assert images.train.shape == (1000, 1, 8, 8)
    share = np.bincount(reference.target) / 1797
    assert abs(np.bincount(images.train_labels) - 1000 * share).max() < 2


def test_standardising_equals_float64_statistics():
    images = digits.load_digits()
    train, test = standardised_splits(images, name="digits")
    pixels = images.train / 16.0
    expected = (images.test / 16.0 - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(test.tensors[0], expected, rtol=0, atol=1e-6)
    assert len(train) == 1000


def test_a_smaller_training_set_is_part_of_a_larger_one_and_the_test_set_stays():
    small, large = (build_task(TaskConfig(train_size=n)) for n in (100, 300))
    rows = {bytes(x.numpy()) for x in large.train.tensors[0]}
    assert all(bytes(x.numpy()) in rows for x in small.train.tensors[0])
    assert (small.test.tensors[0] == large.test.tensors[0]).all()


def test_more_training_images_than_there_are_is_refused():
    with pytest.raises(LastbitError, match="train_size = 1001: digits has 1000 training images"):
        build_task(TaskConfig(train_size=1001))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "fashion-mnist", "FashionMNIST/raw"])
def test_fashion_mnist_is_found_in_and_below_the_root(tmp_path, packed, below):
    files = fashion_files()
    write(tmp_path / "data" / below, files, packed=packed)
    images = load_fashion_mnist(str(tmp_path / "data"), base_url=NOWHERE, cache=tmp_path)
    assert images.train.shape == (20, 1, 28, 28)
    assert images.train.tobytes() == files["train-images-idx3-ubyte"][16:]
    assert images.test_labels.tolist() == list(range(10))


def test_the_order_of_places(tmp_path, monkeypatch):
    sizes = {"root": 11, "variable": 12, "system": 13}
    for place, size in sizes.items():
        write(tmp_path / place, fashion_files((size, 10)))

    def found(root=None):
        return len(load_fashion_mnist(root, base_url=NOWHERE, cache=tmp_path / "cache").train)

    assert found() == sizes["system"]
    monkeypatch.setenv("LASTBIT_DATA", str(tmp_path / "variable"))
    assert found() == sizes["variable"]
    assert found(str(tmp_path / "root")) == sizes["root"]
    monkeypatch.setenv("LASTBIT_DATA", str(tmp_path / "empty"))
    assert found() == sizes["system"]


def test_files_are_decoded_once_and_again_when_they_change(tmp_path):
    folder = write(tmp_path / "data", fashion_files())
    first = load_fashion_mnist(str(folder))
    assert load_fashion_mnist(str(folder)) is first
    write(folder, fashion_files((30, 10)))
    assert len(load_fashion_mnist(str(folder)).train) == 30


def test_the_tensors_of_a_data_set_are_shared_by_its_tasks(tmp_path):
    folder = write(tmp_path / "data", fashion_files())
    tasks = [
        build_task(TaskConfig(task="fashion-mnist", data_root=str(folder), train_size=20, lr=lr)) for lr in (0.1, 0.2)
    ]
    assert tasks[0].train.tensors[0] is tasks[1].train.tensors[0]


def test_missing_data_name_the_places_and_the_flag(tmp_path, monkeypatch):
    monkeypatch.setenv("LASTBIT_DATA", str(tmp_path / "mine"))
    with pytest.raises(
        LastbitError, match=f"not in {tmp_path}/mine, {tmp_path}/system.*download failed.*--data-root DIR"
    ):
        load_fashion_mnist(base_url=NOWHERE, cache=tmp_path / "cache")
    with pytest.raises(LastbitError, match=f"Fashion-MNIST is not in --data-root {tmp_path}/wrong .* it needs"):
        load_fashion_mnist(str(tmp_path / "wrong"))
    with pytest.raises(
        LastbitError, match=r"CIFAR-10 was not found .*download failed .*cifar-10-binary\.tar\.gz"
    ) as caught:
        load_cifar10(base_url=NOWHERE, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"t10k-labels-idx1-ubyte": None}, "only a part of Fashion-MNIST: t10k-labels-idx1-ubyte.* missing"),
        ({"train-labels-idx1-ubyte": "t10k-labels-idx1-ubyte"}, r"labels uint8 \(10,\), but there are 20 images"),
        ({"train-images-idx3-ubyte": "train-labels-idx1-ubyte"}, r"not images of 28 x 28 bytes"),
        (
            {"train-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\x14" + b"\x0b" * 20},
            "holds the label 11: there are 10 classes",
        ),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path, change, match):
    files = fashion_files()
    for name, other in change.items():
        files[name] = files[other] if isinstance(other, str) else other
    write(tmp_path / "data", {name: data for name, data in files.items() if data is not None})
    with pytest.raises(LastbitError, match=match):
        load_fashion_mnist(str(tmp_path / "data"))


def test_a_download_is_checked_kept_and_not_repeated(tmp_path, serve, monkeypatch):
    folder = write(tmp_path / "host", fashion_files(), packed=True)
    sums = {name: hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest() for name in CHECKSUMS}
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", sums)
    images = load_fashion_mnist(base_url=serve(folder), cache=tmp_path / "cache")
    assert len(images.train) == 20
    again = load_fashion_mnist(base_url=NOWHERE, cache=tmp_path / "cache")
    assert again is images


def test_a_download_with_another_checksum_is_refused(tmp_path, serve):
    folder = write(tmp_path / "host", fashion_files(), packed=True)
    with pytest.raises(LastbitError, match="does not have the checksum 8d4fb7e6"):
        load_fashion_mnist(base_url=serve(folder), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_a_host_without_the_files_is_named(tmp_path, serve):
    with pytest.raises(LastbitError, match=r"download failed \(HTTPError at http://127\.0\.0\.1.*train-images"):
        load_fashion_mnist(base_url=serve(tmp_path), cache=tmp_path / "cache")


@installed
def test_the_installed_fashion_mnist_has_the_published_checksums_and_counts(monkeypatch, serve, tmp_path):
    monkeypatch.undo()
    images = load_fashion_mnist(base_url=serve(fashion_mnist.SYSTEM_FOLDER), cache=tmp_path)
    assert images.train.shape == (60_000, 1, 28, 28)
    assert np.bincount(images.train_labels).tolist() == [6000] * 10
    assert np.bincount(images.test_labels).tolist() == [1000] * 10
    # The mean and deviation that are in general use for this set.
    assert images.train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert images.train.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def cifar_files(records=7):
    generator = np.random.default_rng(1)
    files = {}
    for name in cifar10.FILES:
        table = generator.integers(0, 256, (records, 3073), dtype=np.uint8)
        table[:, 0] %= 10
        files[name] = table.tobytes()
    return files


def pack(path, files, folder="cifar-10-batches-bin/"):
    with tarfile.open(path, "w:gz") as archive:
        # In another order than the batches are numbered, as archives are.
        for name, data in sorted(files.items(), reverse=True):
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_cifar10_is_read_alike_from_files_and_from_the_archive(tmp_path):
    files = cifar_files()
    write(tmp_path / "a" / "cifar-10-batches-bin", files)
    (tmp_path / "b").mkdir()
    pack(tmp_path / "b" / cifar10.ARCHIVE, files | {"readme.html": b"not a batch"})
    extracted, packed = (load_cifar10(str(tmp_path / root)) for root in "ab")
    assert extracted.train.shape == (35, 3, 32, 32)
    assert extracted.test.shape == (7, 3, 32, 32)
    for field in ("train", "train_labels", "test", "test_labels"):
        np.testing.assert_array_equal(getattr(extracted, field), getattr(packed, field))
    # Record 3 of the second file: label, then red, green and blue, row by row.
    record = files["data_batch_2.bin"][3 * 3073 : 4 * 3073]
    assert extracted.train_labels[10] == record[0]
    assert extracted.train[10, 2, 5, 6] == record[1 + 2 * 1024 + 5 * 32 + 6]


def test_an_archive_writes_nothing_to_disk(tmp_path):
    pack(tmp_path / cifar10.ARCHIVE, cifar_files(), folder="../../")
    before = sorted(tmp_path.rglob("*"))
    assert len(load_cifar10(str(tmp_path)).train) == 35
    assert sorted(tmp_path.rglob("*")) == before


def test_the_cifar10_archive_is_downloaded_and_checked(tmp_path, serve, monkeypatch):
    (tmp_path / "host").mkdir()
    archive = pack(tmp_path / "host" / cifar10.ARCHIVE, cifar_files())
    monkeypatch.setattr(cifar10, "CHECKSUM", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(load_cifar10(base_url=serve(tmp_path / "host"), cache=tmp_path / "cache").train) == 35
    assert len(load_cifar10(base_url=NOWHERE, cache=tmp_path / "cache").train) == 35


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"test_batch.bin": b"\x01" * 3072}, "3072 bytes are not a whole number of records of 3073"),
        ({"test_batch.bin": b""}, "0 bytes"),
        ({"data_batch_3.bin": b"\x0c" + bytes(3072)}, "data_batch_3.bin holds the label 12"),
        ({"data_batch_3.bin": None}, "missing"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_cifar10_files_are_refused(tmp_path, change, match, packed):
    files = {name: data for name, data in (cifar_files() | change).items() if data is not None}
    if packed:
        pack(tmp_path / cifar10.ARCHIVE, files)
    else:
        write(tmp_path, files)
    with pytest.raises(LastbitError, match=match):
        load_cifar10(str(tmp_path))


def test_a_truncated_archive_is_refused(tmp_path):
    path = pack(tmp_path / cifar10.ARCHIVE, cifar_files())
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(LastbitError, match=r"cannot be read: .* fetch it again"):
        load_cifar10(str(tmp_path))


@installed
def test_a_folder_above_the_installed_files_will_do(monkeypatch):
    monkeypatch.undo()
    root = fashion_mnist.SYSTEM_FOLDER.parent
    task = build_task(TaskConfig(task="fashion-mnist", data_root=str(root), train_size=50))
    assert len(task.test) == 10_000
