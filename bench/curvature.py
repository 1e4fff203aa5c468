"""What curvature costs: products against gradients and peers, warm starts against a cold eigsh, the monitor's share.

Run `python bench/curvature.py` after `pip install -e '.[bench]'` (one core, a few minutes; `--quick` for a tenth).
Times are medians of interleaved repetitions; only ratios within one run count.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator as CurvlinopsHessian
from hessian_eigenthings import HessianOperator as EigenthingsHessian
from hessian_eigenthings import supervised_loss
from scipy.sparse.linalg import LinearOperator, eigsh, lobpcg
from sklearn.datasets import load_digits
from torch import nn

from lastbit.curvature import HessianOperator, StabilityMonitor, top_eigenpairs


def cnn(norm: bool = False, act: type[nn.Module] = nn.SiLU, side: int = 28) -> nn.Module:
    """Three 3x3 convolutions of widths 8, 16, 32; images of 16 pixels and more start at stride 2."""
    layers: list[nn.Module] = []
    channels = 1
    for width, stride in zip((8, 16, 32), (2 if side >= 16 else 1, 2, 1), strict=True):
        layers.append(nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers.append(act())
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def medians(tasks, repetitions):
    """Median seconds of each task: five in a row, as in a measurement; the tasks in turn, to share the noise."""
    times = {name: [] for name in tasks}
    for _ in range(repetitions + 2):
        for name, task in tasks.items():
            begin = time.perf_counter()
            for _ in range(5):
                task()
            times[name].append((time.perf_counter() - begin) / 5)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def product_costs(model: nn.Module, repetitions: int) -> tuple[dict[str, float], float]:
    """Median seconds of one gradient and of one product by each way, and how far the peers' products are off."""
    batch = torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))
    parameters = list(model.parameters())
    operator = HessianOperator(model, F.cross_entropy, batch)
    v = torch.randn(operator.size)
    product = operator @ v
    tasks = {
        "gradient": lambda: torch.autograd.grad(F.cross_entropy(model(batch[0]), batch[1]), parameters),
        "lastbit": lambda: operator @ v,
        "first": lambda: HessianOperator(model, F.cross_entropy, batch) @ v,
    }
    forward = CurvlinopsHessian(model, nn.CrossEntropyLoss(), parameters, [batch], check_deterministic=False)
    reverse = EigenthingsHessian(model, [batch], supervised_loss(F.cross_entropy))
    worst = 0.0
    for name, peer in (("curvlinops", lambda: forward @ v), ("eigenthings", lambda: reverse.matvec(v))):
        try:
            worst = max(worst, float((peer() - product).norm() / product.norm()))
            tasks[name] = peer
        except RuntimeError:
            # curvlinops needs forward-mode rules, which torch lacks for swish and for batch statistics in train mode.
            pass
    return {"curvlinops": float("nan")} | medians(tasks, repetitions), worst


def products(repetitions: int) -> None:
    print("\nHessian-vector product, CNN 8/16/32, 128 images of 28x28, in gradients (forward and backward)")
    ways = ("lastbit", "first", "curvlinops", "eigenthings")
    print(f"{'network':20}{'gradient, ms':>14}" + "".join(f"{way:>13}" for way in ways) + f"{'difference':>13}")
    for name, norm, act in (
        ("ReLU", False, nn.ReLU),
        ("swish", False, nn.SiLU),
        ("tanh", False, nn.Tanh),
        ("batch norm, ReLU", True, nn.ReLU),
        ("batch norm, swish", True, nn.SiLU),
        ("batch norm, tanh", True, nn.Tanh),
    ):
        torch.manual_seed(0)
        found, worst = product_costs(cnn(norm, act), repetitions)
        unit = found["gradient"]
        costs = "".join(f"{found[way] / unit:13.2f}" for way in ways)
        print(f"{name:20}{unit * 1e3:14.2f}{costs}{worst:13.1e}")
    print(
        "first: with the graph built anew; nan: the peer has no rule for this network; difference: of the peers, worst"
    )


def warm_starts(rounds: int) -> None:
    print("\nProducts for the top eigenvalue after 100 further steps, residual 1%, against a cold eigsh (6 values)")
    header = f"{'network':22}{'eigsh':>8}{'cold':>8}{'warm':>8}{'saving':>9}{'LOBPCG k=1':>12}{'worst error':>13}"
    print(header)
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    images = ((images - images.mean()) / images.std()).view(-1, 1, 8, 8)
    labels = torch.tensor(data.target)
    for name, make, lr in (
        ("CNN", lambda: cnn(side=8), 0.02),
        ("CNN, batch norm", lambda: cnn(True, side=8), 0.05),
        ("MLP, full batch", lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)), 0.5),
    ):
        rows = [row for seed in range(3) for row in warm_rounds(make, lr, "full" in name, images, labels, rounds, seed)]
        peer, cold_mean, warm_mean, block_mean = (statistics.mean(row[i] for row in rows) for i in range(4))
        print(
            f"{name:22}{peer:8.1f}{cold_mean:8.1f}{warm_mean:8.1f}{peer / warm_mean:8.1f}x{block_mean:12.1f}"
            f"{max(row[4] for row in rows):13.4f}"
        )


def warm_rounds(make, lr, full, images, labels, rounds, seed):
    """Products of `eigsh`, of a cold and of a warm start, of LOBPCG, and the warm start's error, in each round."""
    torch.manual_seed(seed)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.0 if full else 0.9)
    generator = torch.Generator().manual_seed(seed + 1)
    probe = images[:512], labels[:512]
    previous, rows = None, []
    for _ in range(rounds + 1):
        operator = HessianOperator(model, F.cross_entropy, probe)
        before = operator.products
        exact = eigsh(to_scipy(operator), k=6)[0].max()
        cold_eigsh = operator.products - before
        gradient = operator.loss_and_gradient()[1][:, None]
        cold = top_eigenpairs(operator, tol=1e-2)
        start = gradient if previous is None else torch.cat([previous.warm, gradient / gradient.norm()], 1)
        warm = top_eigenpairs(operator, tol=1e-2, start=start)
        if previous is not None:
            block = block_products(operator, previous.vectors)
            rows.append((cold_eigsh, cold.products, warm.products, block, abs(warm.largest / exact - 1)))
        previous = warm
        for _ in range(100):
            i = slice(0, 512) if full else torch.randint(0, len(images), (32,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(images[i]), labels[i]).backward()
            optimizer.step()
    return rows


def to_scipy(operator: HessianOperator) -> LinearOperator:
    """The operator for `scipy.sparse.linalg`, its products still counted."""

    def product(vector):
        return (operator @ torch.as_tensor(vector.reshape(-1)).to(operator.dtype)).numpy()

    return LinearOperator(operator.shape, matvec=product, dtype="float32")


def block_products(operator: HessianOperator, start: torch.Tensor) -> int:
    """Products of scipy's LOBPCG from the same vectors to the same residual."""
    before = operator.products
    base = to_scipy(operator)
    wrapped = LinearOperator(base.shape, matvec=base.matvec, matmat=lambda m: base.matmat(m), dtype=base.dtype)
    first = operator @ start
    scale = float((start * first).sum())
    lobpcg(wrapped, start.numpy().copy(), tol=1e-2 * abs(scale), maxiter=60, largest=True)
    return operator.products - before


def monitor_share(steps: int, repetitions: int) -> None:
    print("\nMonitor at its default budget of 10%, CNN 8/16/32 on 28x28, batch of 128, probe batch of 128")
    spent, slower, counts = [], [], []
    for seed in range(repetitions):
        plain, _, _ = watched(steps, seed, monitored=False)
        training, watching, count = watched(steps, seed, monitored=True)
        spent.append(watching / training)
        slower.append(training / plain - 1)
        counts.append(count)
    print(
        f"time in the monitor over time in the training beside it {statistics.median(spent):.3f} ({min(spent):.3f} to "
        f"{max(spent):.3f}); that training over one that nobody watches {statistics.median(slower):+.3f} "
        f"({min(slower):+.3f} to {max(slower):+.3f}), medians of {repetitions}; measurements per run {counts}"
    )


def watched(steps: int, seed: int, *, monitored: bool) -> tuple[float, float, int]:
    """Seconds of a training, seconds in its monitor, and how often that measured."""
    torch.manual_seed(seed)
    model = cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images, labels = torch.randn(1024, 1, 28, 28), torch.randint(0, 10, (1024,))
    probe = images[:128], labels[:128]
    begin = time.perf_counter()
    monitor = StabilityMonitor(model, optimizer, F.cross_entropy, probe, every=10) if monitored else None
    watching, training = time.perf_counter() - begin, 0.0
    for step in range(steps):
        began = time.perf_counter()
        i = slice(step % 8 * 128, step % 8 * 128 + 128)
        optimizer.zero_grad()
        F.cross_entropy(model(images[i]), labels[i]).backward()
        optimizer.step()
        stepped = time.perf_counter()
        if monitor is not None:
            monitor.step()
        training += stepped - began
        watching += time.perf_counter() - stepped
    return training, watching, len(monitor.records) if monitor is not None else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    products(2 if quick else 20)
    warm_starts(2 if quick else 8)
    monitor_share(150 if quick else 1500, 1 if quick else 7)


if __name__ == "__main__":
    main()
