"""Optimizers by name: torch's own, one parameter group."""

from torch import optim

from espalier.settings.registry import register
from espalier.settings.types import Fraction, NonNegative, Positive


@register("optimizer")
def sgd(
    parameters,
    *,
    lr: Positive = 0.1,
    momentum: Fraction = 0.9,
    nesterov: bool = True,
    weight_decay: NonNegative = 5e-4,
) -> optim.Optimizer:
    """Stochastic gradient descent with momentum.

    Args:
        lr: learning rate, the peak of the schedule
        momentum: share of the last step that is kept; 0 for none
        nesterov: Nesterov momentum; has no effect when momentum is 0
        weight_decay: L2 penalty added to the gradient
    """
    return optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0, weight_decay=weight_decay
    )


@register("optimizer")
def adam(
    parameters,
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980); its weight decay is an L2 penalty in the gradient.

    Args:
        lr: learning rate, the peak of the schedule
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: term in the denominator against division by zero
        weight_decay: L2 penalty added to the gradient
    """
    return optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


@register("optimizer")
def adamw(
    parameters,
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
) -> optim.Optimizer:
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019, arXiv 1711.05101).

    Args:
        lr: learning rate, the peak of the schedule
        beta1: decay of the mean of the gradient
        beta2: decay of the mean of its square
        eps: term in the denominator against division by zero
        weight_decay: share of the weights that is taken off in each step, multiplied by the learning rate
    """
    return optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


@register("optimizer")
def rmsprop(
    parameters,
    *,
    lr: Positive = 1e-3,
    alpha: Fraction = 0.99,
    momentum: Fraction = 0.0,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """RMSprop (Hinton's lecture 6e, 2012): the gradient over the root of its mean square.

    Args:
        lr: learning rate, the peak of the schedule
        alpha: decay of the mean square
        momentum: share of the last step that is kept
        eps: term in the denominator against division by zero
        weight_decay: L2 penalty added to the gradient
    """
    return optim.RMSprop(parameters, lr=lr, alpha=alpha, momentum=momentum, eps=eps, weight_decay=weight_decay)


@register("optimizer")
def adadelta(
    parameters,
    *,
    lr: Positive = 1.0,
    rho: Fraction = 0.9,
    eps: Positive = 1e-6,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Adadelta (Zeiler 2012, arXiv 1212.5701): steps scaled by the ratio of past steps to past gradients.

    Args:
        lr: factor on the step that the method proposes
        rho: decay of both means of squares
        eps: term inside both roots; larger values speed up the first steps
        weight_decay: L2 penalty added to the gradient
    """
    return optim.Adadelta(parameters, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
