"""Small trainings by Lightning, and the same in plain loops; imported where Lightning is installed."""

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCHES = 3, 6


def examples():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8 * BATCHES, 5, generator=generator)
    return x, (x[:, :1] * x[:, 1:2]).sin()


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1))


def loader():
    return DataLoader(TensorDataset(*examples()), batch_size=8)


def optimizer_of(parameters):
    return torch.optim.AdamW(parameters, lr=0.02)


class Regression(L.LightningModule):
    """Automatic optimization; it raises in the batch after so many steps, `fails_at`."""

    def __init__(self, optimizer=optimizer_of, fails_at=None):
        super().__init__()
        self.net, self.optimizer, self.fails_at = network(), optimizer, fails_at

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        if self.trainer.global_step == self.fails_at:
            raise RuntimeError("on purpose")
        return F.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return self.optimizer(self.parameters())


class TwoOptimizers(L.LightningModule):
    """Manual optimization: both layers have an optimizer of their own, and step one after the other."""

    def __init__(self):
        super().__init__()
        self.net, self.automatic_optimization = network(), False

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(F.mse_loss(self(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self):
        return two_optimizers(self.net)


def two_optimizers(net):
    return torch.optim.SGD(net[0].parameters(), lr=0.05, momentum=0.9), torch.optim.AdamW(net[2].parameters(), lr=0.02)


def trainer(folder, *callbacks, epochs=EPOCHS, **settings):
    settings = {"logger": False, "accelerator": "cpu", "devices": 1, **settings}
    saved = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    return L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=[*callbacks, saved],
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def weights(module):
    return [weight.detach().clone() for weight in module.net.parameters()]


def fit(folder, *callbacks, module=None, ckpt_path=None, **settings):
    module = Regression() if module is None else module
    trainer(folder, *callbacks, **settings).fit(module, loader(), ckpt_path=ckpt_path)
    return weights(module)


def plain(attach, optimizer=optimizer_of, accumulates=1):
    """The weights after the same training in a loop, to whose optimizer `attach` is applied first."""
    net = network()
    own = optimizer(net.parameters())
    attach(own)
    for _ in range(EPOCHS):
        for index, (x, y) in enumerate(loader()):
            (F.mse_loss(net(x), y) / accumulates).backward()
            if (index + 1) % accumulates == 0:
                own.step()
                own.zero_grad()
    return [weight.detach().clone() for weight in net.parameters()]


def plain_two(attach):
    """The same with two optimizers."""
    net = network()
    both = two_optimizers(net)
    for one in both:
        attach(one)
    for _ in range(EPOCHS):
        for x, y in loader():
            for one in both:
                one.zero_grad()
                F.mse_loss(net(x), y).backward()
                one.step()
    return [weight.detach().clone() for weight in net.parameters()]
