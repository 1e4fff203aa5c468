"""Optimizers of torch with their steps written out: the same formulas in another order, and defects that no setting
shows.
"""

import torch

DEFECTS = ("hidden_epsilon", "first_moment", "second_moment", "no_correction", "hidden_decay")


class Written:
    """A step of an optimizer of torch, written by hand; mixed in before its class."""

    def __init__(self, *arguments, defect="none", size=0.0, **settings):
        self.defect, self.size = defect, size
        super().__init__(*arguments, **settings)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            epsilon = self.size if self.defect == "hidden_epsilon" else group.get("eps")
            for parameter in group["params"]:
                secret = self.defect == "hidden_decay" and parameter.ndim <= 1
                decay = self.size if secret else group["weight_decay"]
                self.update(parameter, parameter.grad, self.state[parameter], group, epsilon, decay)

    def corrections(self, step, first, second):
        """Return by what the moments are divided, with a defect where one is planted."""
        lost = {"no_correction": (True, True), "first_moment": (True, False), "second_moment": (False, True)}
        no_first, no_second = lost.get(self.defect, (False, False))
        return (1.0 if no_first else 1 - first**step), (1.0 if no_second else 1 - second**step)


class SGD(Written, torch.optim.SGD):
    """Momentum as one sum, Nesterov's or not."""

    def update(self, parameter, gradient, state, group, epsilon, decay):
        gradient = decay * parameter + gradient
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = gradient.clone()
        else:
            state["momentum_buffer"].copy_(gradient + group["momentum"] * state["momentum_buffer"])
        moved = state["momentum_buffer"]
        if group["nesterov"]:
            moved = group["momentum"] * moved + gradient
        parameter.copy_(parameter - group["lr"] * moved)


class Adam(Written, torch.optim.Adam):
    """Moments corrected first, then divided."""

    decoupled = False

    def update(self, parameter, gradient, state, group, epsilon, decay):
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        if self.decoupled:
            parameter.copy_(parameter - group["lr"] * decay * parameter)
        else:
            gradient = decay * parameter + gradient
        state["step"] += 1
        first, second = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.copy_((1 - first) * gradient + first * mean)
        square.copy_((1 - second) * gradient.square() + second * square)
        by_first, by_second = self.corrections(state["step"].item(), first, second)
        parameter.copy_(parameter - group["lr"] * ((mean / by_first) / ((square / by_second).sqrt() + epsilon)))


class AdamW(Adam):
    """The same with decoupled decay."""

    decoupled = True


class RMSprop(Written, torch.optim.RMSprop):
    """The square's mean as one sum."""

    def update(self, parameter, gradient, state, group, epsilon, decay):
        if not state:
            state["step"] = torch.tensor(0.0)
            state["square_avg"], state["momentum_buffer"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        gradient = decay * parameter + gradient
        state["step"] += 1
        square = state["square_avg"]
        square.copy_((1 - group["alpha"]) * gradient.square() + group["alpha"] * square)
        moved = gradient / (square.sqrt() + epsilon)
        state["momentum_buffer"].copy_(moved + group["momentum"] * state["momentum_buffer"])
        parameter.copy_(parameter - group["lr"] * state["momentum_buffer"])


class Adagrad(Written, torch.optim.Adagrad):
    """The rate times the quotient."""

    def update(self, parameter, gradient, state, group, epsilon, decay):
        gradient = decay * parameter + gradient
        state["step"] += 1
        state["sum"].copy_(gradient.square() + state["sum"])
        parameter.copy_(parameter - group["lr"] * (gradient / (state["sum"].sqrt() + epsilon)))


WRITTEN = {
    torch.optim.SGD: SGD,
    torch.optim.Adam: Adam,
    torch.optim.AdamW: AdamW,
    torch.optim.RMSprop: RMSprop,
    torch.optim.Adagrad: Adagrad,
}
