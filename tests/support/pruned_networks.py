"""Every model of the zoo, small, with statistics unlike those of a new network."""

import torch
from torch import nn

from espalier.models import rules
from espalier.settings.registry import entries

SMALL = {
    "cct": {"layers": 2, "heads": 2, "dim": 16},
    "cvt": {"layers": 2, "heads": 2, "dim": 16},
    "densenet": {"blocks": (2, 2)},
    "efficientnet": {"width": 0.25, "depth": 0.3},
    "mobilenetv2": {"width": 0.25, "blocks": (1, 2, 2, 1, 1, 1, 1)},
    "shufflenetv2": {"blocks": (2, 2, 2), "channels": (24, 32, 48), "head": 32},
    "pyramidnet": {"depth": 14},
}
VARIANTS = {
    "cct-sine": ("cct", {"positional": "sine"}),
    "cct-none": ("cct", {"positional": "none", "convs": 2}),
    "cvt-sine": ("cvt", {"positional": "sine"}),
    "efficientnet-head": ("efficientnet", {"head": 64}),
    "ghostnet-v3": ("ghostnet", {"version": "v3"}),
    "mobilenetv2-projection": ("mobilenetv2", {"shortcut": "projection"}),
    "preact_resnet-bare": ("preact_resnet", {"final_norm": False}),
    "resnet-padded": ("resnet", {"shortcut": "A"}),
    "resnet-preactivation": (
        "resnet",
        {"preactivation": True, "activation": "gelu", "kernels": (1, 5, 3), "shortcut_kernels": (3,)},
    ),
    "resnet-windows": ("resnet", {"pool": "max", "window": 1}),
    "resnet-se": ("resnet", {"se_reduction": 4}),
    "spinal_cnn-pooled": ("spinal_cnn", {"channels": (8, 8), "window": 2}),
    "squeezenet-wide": ("squeezenet", {"stem_channels": 32}),
}
UNPRUNABLE = {"thriftynet": "its convolution reads what it writes"}
NAMES = [*(name for name in entries("model") if name not in UNPRUNABLE), *VARIANTS]


def size(name: str) -> int:
    return max(8, rules.smallest(entries("model")[VARIANTS.get(name, (name, {}))[0]]))


def built(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    family, settings = VARIANTS.get(name, (name, {}))
    model = entries("model")[family].load()(10, size(name), **{**SMALL.get(family, {}), **settings})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    return model
