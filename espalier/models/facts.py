"""The facts that a network declares about itself, for pruning, quantization and export."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espalier.errors import Mistake

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
"""Of the settings and widths that a network is saved with; raised when a reader of the old ones would rebuild another
network."""


@dataclass(frozen=True)
class Facts:
    """Module paths (`named_modules`) of the parts that other stages treat apart."""

    classifier: str
    """the last linear layer, whose outputs are the logits"""
    first: str
    """the first layer that sees pixels"""
    unprunable: tuple[str, ...] = ()
    """convolutions and linear layers, besides the classifier, whose outputs must keep their number"""
    attention_heads: Mapping[str, int] = field(default_factory=dict)
    """fused query-key-value projection → number of heads that the network is built with; whole heads can be removed
    where the module around the projection has the number as its attribute `num_heads` and reads it"""
    published: Mapping[str, str] = field(default_factory=dict)
    """path → path of the same module in the published network whose weights can be loaded, where they differ"""


def declare(model: "nn.Module", facts: Facts) -> "nn.Module":
    """Attach `facts` to a network.

    Raises:
        ValueError: a path leads to no module of the network.
    """
    known = dict(model.named_modules())
    paths = (facts.classifier, facts.first, *facts.unprunable, *facts.attention_heads, *facts.published)
    if absent := [path for path in paths if path not in known]:
        raise ValueError(f"{type(model).__name__} has no module {', '.join(absent)}")
    model.facts = facts
    return model


def facts_of(model: "nn.Module") -> Facts:
    """What a network has declared; one that is trained alone need declare nothing.

    Raises:
        Mistake: it has declared nothing.
    """
    if isinstance(found := getattr(model, "facts", None), Facts):
        return found
    raise Mistake(
        f"the network, a {type(model).__name__}, does not declare its facts `classifier` and `first`, the paths of its "
        "last linear layer and of the first layer that sees pixels, which this stage must know; end the "
        "function that makes it with `return declare(model, Facts(classifier=…, first=…))`, of espalier/models/facts.py"
    )


def heads_left(model: "nn.Module") -> dict[str, int]:
    """Fused query-key-value projection → heads that pruning has left of those that the network was built with."""
    facts = getattr(model, "facts", None)
    built = facts.attention_heads if isinstance(facts, Facts) else {}
    return {path: getattr(model.get_submodule(around(path)), "num_heads", heads) for path, heads in built.items()}


def around(path: str) -> str:
    """Path of the module that has the one at `path`."""
    return path.rpartition(".")[0]


def prunable(model: "nn.Module") -> "dict[str, nn.Module]":
    """Path → convolution or linear layer whose outputs may be pruned, in the order of the network.

    Raises:
        Mistake: the network has declared no facts.
    """
    facts = facts_of(model)
    kept = {facts.classifier, *facts.unprunable}
    from torch import nn

    layers = {path: module for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    return {path: module for path, module in layers.items() if path not in kept}
