"""Operations that are known to give other results from equal inputs: those that PyTorch lists itself.

Source: the documentation of `torch.use_deterministic_algorithms` (PyTorch 2.7), as what they are called on a tape. What
is not listed gives one result from equal inputs, as long as as many threads compute it on the same processor.
"""

from __future__ import annotations

from lastbit.launch.pair.tapes import Op, Tape
from lastbit.studies.doctor.steps import base_of

__all__ = ["is_listed"]

_ANYWHERE = frozenset(
    ("_index_put_impl", "_unsafe_index_put", "index_add", "index_put", "put", "scatter_add", "scatter_reduce")
)
"""They add into places that they are told, of which the same may come twice: on a CPU with several threads too."""

_ON_GPU = frozenset(
    [
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "_ctc_loss_backward",
        "_embedding_bag_backward",
        "_embedding_bag_dense_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "bincount",
        "cumsum",
        "embedding_dense_backward",
        "fractional_max_pool2d_backward",
        "fractional_max_pool3d_backward",
        "gather_backward",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
        "histc",
        "index_copy",
        "index_reduce",
        "index_select_backward",
        "kthvalue",
        "max_pool3d_with_indices_backward",
        "max_unpool2d",
        "max_unpool3d",
        "median",
        "nll_loss2d_forward",
        "reflection_pad1d_backward",
        "reflection_pad2d_backward",
        "reflection_pad3d_backward",
        "replication_pad1d_backward",
        "replication_pad2d_backward",
        "replication_pad3d_backward",
        "scatter",
        "upsample_bicubic2d_backward",
        "upsample_bilinear2d_backward",
        "upsample_linear1d_backward",
        "upsample_trilinear3d_backward",
        "_upsample_bicubic2d_aa_backward",
        "_upsample_bilinear2d_aa_backward",
    ]
)

_FAMILIES_ON_GPU = ("_cudnn_rnn", "_scaled_dot_product", "_flash_attention", "_efficient_attention")
_PRODUCTS_ON_GPU = frozenset(
    ("addbmm", "addmm", "addmv", "baddbmm", "bmm", "convolution", "convolution_backward", "dot", "mm", "mv")
)
"""Kernels that are chosen, and share a workspace, as cuDNN and cuBLAS see fit."""

_PROCESSORS = frozenset(("aarch64", "amd64", "arm64", "i386", "i686", "ppc64le", "riscv64", "s390x", "x86_64"))
"""What a machine is called that computes without a GPU."""


def is_listed(op: Op, tape: Tape) -> bool:
    """Tell whether an operation is known to give other results from equal inputs, where its process computes."""
    base = base_of(op).removesuffix("_")
    if base in _ANYWHERE:
        return True
    if tape.process.settings.get("device", "").lower() in {*_PROCESSORS, ""}:
        return False
    return base in _ON_GPU or base in _PRODUCTS_ON_GPU or base.startswith(_FAMILIES_ON_GPU)
