"""A tensor's hash is the CRC-32 of its bytes, is read anew where they may have changed, and moves nothing."""

import zlib

import pytest
import torch

from lastbit.launch.pair.values import Memories

LARGE = 5000
"""Elements of more bytes than are read anew every time."""


def crc(memories, tensor, **how):
    return memories.crc(tensor, memories.of(tensor), **how)


def oracle(tensor):
    return zlib.crc32(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("size", [1, 7, LARGE])
def test_the_bytes_are_what_is_hashed(dtype, size):
    tensor = (torch.arange(size) % 3).to(dtype)
    assert crc(Memories(), tensor) == oracle(tensor)


def test_dense_forms_are_read_in_the_order_of_memory_and_others_in_that_of_elements():
    base = torch.arange(24.0).reshape(4, 6)
    memories = Memories()
    assert crc(memories, base.t()) == crc(memories, base) == oracle(base)
    assert crc(memories, base[:, 1:3]) == oracle(base[:, 1:3])
    assert crc(memories, base[1]) == oracle(base[1])
    assert crc(memories, torch.ones(1).expand(10**12)) == oracle(torch.ones(1))
    assert crc(memories, torch.empty(0)) == 0


def test_what_has_no_bytes_of_its_own_has_no_hash():
    memories = Memories()
    assert memories.of(torch.eye(3).to_sparse()) is None
    meta = torch.empty(3, device="meta")
    assert memories.crc(meta, memories.of(meta)) is None


def test_writes_of_torch_are_seen_whatever_the_size():
    memories, tensor = Memories(), torch.zeros(LARGE)
    before = crc(memories, tensor)
    tensor[4999] = 1
    assert crc(memories, tensor) == oracle(tensor) != before


def test_writes_through_numpy_are_seen_in_small_tensors_and_where_asked_for():
    memories = Memories()
    for size, fresh in ((100, False), (LARGE, True)):
        tensor = torch.zeros(size)
        before = crc(memories, tensor)
        tensor.numpy()[size // 2] = 1  # counts no version
        assert crc(memories, tensor, fresh=fresh) == oracle(tensor) != before


def test_shared_memory_is_read_anew():
    memories, tensor = Memories(), torch.zeros(LARGE).share_memory_()
    before = crc(memories, tensor)
    tensor.numpy()[0] = 1
    assert crc(memories, tensor) == oracle(tensor) != before


def test_what_is_written_in_an_operation_keeps_its_hash_when_its_version_is_counted():
    memories, tensor = Memories(), torch.zeros(LARGE)
    memory = memories.of(tensor)
    crc(memories, tensor, fresh=True, written=True)
    assert memory.version == tensor._version + 1


def test_tensors_of_inference_mode_count_no_version_and_are_read_anew():
    memories = Memories()
    with torch.inference_mode():
        tensor = torch.zeros(LARGE)
        before = crc(memories, tensor)
        tensor[0] = 1
        assert crc(memories, tensor) != before


def test_a_memory_is_known_by_all_its_views_and_never_taken_for_a_later_one():
    memories, numbers = Memories(), set()
    base = torch.zeros(100)
    assert memories.of(base) is memories.of(base[3:].view(97, 1))
    for _ in range(50):  # the allocator gives the same address again and again
        numbers.add(memories.of(torch.zeros(100)).number)
    assert len(numbers) == 50
    memories.sweep()
    assert set(memories._known) == {base.untyped_storage()._cdata}


def test_hashing_moves_no_generator():
    state = torch.get_rng_state()
    crc(Memories(), torch.ones(4, 4)[:, ::2])
    assert torch.equal(torch.get_rng_state(), state)
