"""Small trainings by the Trainer of transformers, and the same in a plain loop; imported where they are installed."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainingArguments

EPOCHS, BATCHES = 3, 6


def examples():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8 * BATCHES, 5, generator=generator)
    return {"x": x, "labels": (x[:, :1] * x[:, 1:2]).sin()}


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x, labels):
        return {"loss": F.mse_loss(self.net(x), labels)}


class Fails(TrainerCallback):
    """Raises once, before a step."""

    def __init__(self, step):
        self.steps = [step]

    def on_step_begin(self, args, state, control, **told):
        if [state.global_step] == self.steps:
            self.steps = []
            raise RuntimeError("on purpose")


class InOrder(Trainer):
    """Takes the examples in their order, as the loop does."""

    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def optimizer_of(parameters):
    return torch.optim.AdamW(parameters, lr=0.02)


def trainer(folder, *callbacks, epochs=EPOCHS, model=None, **settings):
    model = Regression() if model is None else model
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        save_strategy="epoch",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    every = examples()
    data = [{name: column[row] for name, column in every.items()} for row in range(8 * BATCHES)]
    own = optimizer_of(model.parameters())
    return InOrder(model, arguments, train_dataset=data, callbacks=list(callbacks), optimizers=(own, None))


def weights(model):
    return [weight.detach().clone() for weight in model.net.parameters()]


def train(folder, *callbacks, resume=None, **settings):
    made = trainer(folder, *callbacks, **settings)
    made.train(resume_from_checkpoint=resume)
    return weights(made.model)


def plain(attach, accumulates=1):
    """The weights after the same training in a loop, to whose optimizer `attach` is applied first."""
    model, every = Regression(), examples()
    own = optimizer_of(model.parameters())
    attach(own)
    for _ in range(EPOCHS):
        for index in range(BATCHES):
            batch = {name: column[8 * index : 8 * index + 8] for name, column in every.items()}
            (model(**batch)["loss"] / accumulates).backward()
            if (index + 1) % accumulates == 0:
                own.step()
                own.zero_grad()
    return weights(model)
