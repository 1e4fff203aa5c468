"""Layers and losses in the forms that people write them in: equal in exact arithmetic, each rounded in its own way."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

LINEAR = ("product", "einsum", "transposed", "columns")
CONVOLUTION = ("unfold", "shifts", "layout")
NORM = ("norms",)
ACTIVATION = ("activations",)
CLASSES = ("logsumexp", "onehot", "gathered", "summed", "double_loss")
NUMBERS = ("squares", "summed", "double_loss")
ATTENTION = ("matmul", "by_head", "three")
RECURRENT = ("cells",)
TOKENS = ("onehot_tokens", "indexed")
DROPOUT = ("masks",)


class Forms:
    """The layers of a network in the form that a variant asks for, and in torch's for all others."""

    def __init__(self, variant):
        self.variant = variant

    def linear(self, layer, x):
        weight, bias = layer.weight, 0 if layer.bias is None else layer.bias
        match self.variant:
            case "product":
                return x @ weight.T + bias
            case "einsum":
                return torch.einsum("oi,...i->...o", weight, x) + bias
            case "transposed":
                # Contiguous, because masks of dropout are drawn in the order of memory.
                return (weight @ x.transpose(-1, -2)).transpose(-1, -2).contiguous() + bias
            case "columns":
                cut = x.shape[-1] // 2
                return (x[..., cut:] @ weight[:, cut:].T + bias) + x[..., :cut] @ weight[:, :cut].T
        return layer(x)

    def convolution(self, layer, x):
        """Of stride 1, its borders filled with zeros."""
        if self.variant not in ("unfold", "shifts"):
            return layer(x)
        batch, _, height, width = x.shape
        out, inner, rows, columns = layer.weight.shape
        padding = layer.padding[0]
        if self.variant == "unfold":
            patches = F.unfold(x, (rows, columns), padding=padding).view(batch, layer.groups, -1, height * width)
            weight = layer.weight.view(layer.groups, out // layer.groups, -1)
            result = torch.einsum("goi,bgip->bgop", weight, patches).reshape(batch, out, height, width)
        else:
            padded = F.pad(x, (padding,) * 4)
            weight = layer.weight.view(layer.groups, out // layer.groups, inner, rows, columns)
            result = 0
            for i in range(rows):
                for j in range(columns):
                    part = padded[:, :, i : i + height, j : j + width].reshape(
                        batch, layer.groups, inner, height, width
                    )
                    result = result + torch.einsum("goi,bgihw->bgohw", weight[..., i, j], part)
            result = result.reshape(batch, out, height, width)
        return result if layer.bias is None else result + layer.bias.view(-1, 1, 1)

    def norm(self, layer, x):
        if self.variant != "norms":
            return layer(x)
        if isinstance(layer, nn.LayerNorm):
            centred = x - x.mean(-1, keepdim=True)
            return centred / (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt() * layer.weight + layer.bias
        shape = (1, -1) + (1,) * (x.ndim - 2)
        if isinstance(layer, nn.GroupNorm):
            parts = x.reshape(len(x), layer.num_groups, -1)
            centred = parts - parts.mean(-1, keepdim=True)
            scaled = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + layer.eps)
            return scaled.reshape(x.shape) * layer.weight.view(shape) + layer.bias.view(shape)
        dims = [0, *range(2, x.ndim)]
        mean = x.mean(dims, keepdim=True)
        variance = (x - mean).square().mean(dims, keepdim=True)
        count = x.numel() / x.shape[1]
        with torch.no_grad():
            keep = 1 - layer.momentum
            layer.running_mean.copy_(keep * layer.running_mean + layer.momentum * mean.flatten())
            unbiased = variance.flatten() * (count / (count - 1))
            layer.running_var.copy_(keep * layer.running_var + layer.momentum * unbiased)
            layer.num_batches_tracked += 1
        return (x - mean) / (variance + layer.eps).sqrt() * layer.weight.view(shape) + layer.bias.view(shape)

    def activation(self, name, x):
        if self.variant != "activations":
            return getattr(F, name)(x)
        match name:
            case "relu":
                return torch.where(x > 0, x, torch.zeros_like(x))
            case "tanh":
                return 2 * torch.sigmoid(2 * x) - 1
            case "gelu":
                return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
            case "silu":
                return x * torch.sigmoid(x)
            case "softplus":
                return torch.logaddexp(x, torch.zeros_like(x))
            case "elu":
                return torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))
            case "hardswish":
                return x * (x + 3).clamp(0, 6) / 6
        raise ValueError(f"{name}: no formula")

    def dropout(self, layer, x):
        if self.variant != "masks":
            return layer(x)
        return torch.where(torch.empty_like(x).bernoulli_(1 - layer.p) > 0, x / (1 - layer.p), 0)

    def pooled(self, x):
        """Mean over pairs of rows and columns."""
        if self.variant != "summed":
            return F.avg_pool2d(x, 2)
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def attention(self, query, key, value):
        """Causal, of queries, keys and values `(batch, heads, length, size)`."""
        if self.variant not in ("matmul", "by_head"):
            return F.scaled_dot_product_attention(query, key, value, is_causal=True)
        length = query.shape[-2]
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)

        def attend(q, k, v):
            scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(hidden, -math.inf)
            return scores.softmax(-1) @ v

        if self.variant == "matmul":
            return attend(query, key, value)
        heads = zip(query.unbind(1), key.unbind(1), value.unbind(1), strict=True)
        return torch.stack([attend(*head) for head in heads], 1)

    def projected(self, layer, x):
        """Return queries, keys and values, from one product or from three."""
        if self.variant != "three":
            return self.linear(layer, x).chunk(3, -1)
        parts = zip(layer.weight.chunk(3), layer.bias.chunk(3), strict=True)
        return [F.linear(x, weight, bias) for weight, bias in parts]

    def tokens(self, layer, index):
        match self.variant:
            case "onehot_tokens":
                return F.one_hot(index, layer.num_embeddings).to(layer.weight.dtype) @ layer.weight
            case "indexed":
                return layer.weight[index]
        return layer(index)

    def bag(self, layer, index):
        """Mean of the rows of a table."""
        match self.variant:
            case "onehot_tokens":
                counts = F.one_hot(index, layer.num_embeddings).sum(1).to(layer.weight.dtype)
                return counts @ layer.weight / index.shape[1]
            case "indexed":
                return layer.weight[index].mean(1)
        return layer(index)

    def lstm(self, layer, x):
        """All outputs of one layer, batch first."""
        if self.variant != "cells":
            return layer(x)[0]
        hidden = cell = x.new_zeros(len(x), layer.hidden_size)
        outputs = []
        for now in x.unbind(1):
            gates = now @ layer.weight_ih_l0.T + hidden @ layer.weight_hh_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
            enter, forget, new, leave = gates.chunk(4, -1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, 1)

    def gru(self, layer, x):
        """The last output of one layer, batch first."""
        if self.variant != "cells":
            return layer(x)[0][:, -1]
        hidden = x.new_zeros(len(x), layer.hidden_size)
        for now in x.unbind(1):
            reset, update, new = (now @ layer.weight_ih_l0.T + layer.bias_ih_l0).chunk(3, -1)
            old_reset, old_update, old_new = (hidden @ layer.weight_hh_l0.T + layer.bias_hh_l0).chunk(3, -1)
            update = torch.sigmoid(update + old_update)
            new = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
            hidden = new + update * (hidden - new)
        return hidden

    def again(self, part, x):
        """Call a part of a network, whose inner values a variant computes a second time in the backward pass."""
        return checkpoint(part, x, use_reentrant=False) if self.variant == "recomputed" else part(x)

    def cross_entropy(self, logits, labels):
        match self.variant:
            case "logsumexp":
                return (logits.logsumexp(-1) - logits.gather(-1, labels[:, None])[:, 0]).mean()
            case "onehot":
                return -(F.one_hot(labels, logits.shape[-1]) * logits.log_softmax(-1)).sum() / len(labels)
            case "gathered":
                return -logits.softmax(-1)[torch.arange(len(labels)), labels].log().mean()
            case "summed":
                return F.cross_entropy(logits, labels, reduction="sum") / len(labels)
            case "double_loss":
                return F.cross_entropy(logits.double(), labels).to(logits.dtype)
        return F.cross_entropy(logits, labels)

    def squared_error(self, output, target):
        match self.variant:
            case "squares":
                return torch.linalg.vector_norm(output - target).square() / target.numel()
            case "summed":
                return F.mse_loss(output, target, reduction="sum") / target.numel()
            case "double_loss":
                return F.mse_loss(output.double(), target.double()).to(output.dtype)
        return F.mse_loss(output, target)

    def smooth_error(self, output, target):
        """Quadratic below one, linear above."""
        match self.variant:
            case "squares":
                size = (output - target).abs()
                return torch.where(size < 1, 0.5 * size * size, size - 0.5).mean()
            case "summed":
                return F.smooth_l1_loss(output, target, reduction="sum") / target.numel()
            case "double_loss":
                return F.smooth_l1_loss(output.double(), target.double()).to(output.dtype)
        return F.smooth_l1_loss(output, target)
