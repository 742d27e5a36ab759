from timm.models.regnet import RegNet, RegNetCfg, generate_regnet
from torch import nn

from espalier.models.facts import Facts, declare
from espalier.plan.types import Count, Counts, Fraction, NonNegative, Positive
from espalier.registry import register


@register("model")
def regnetx(
    num_classes: int,
    image_size: int,
    *,
    depth: Count = 13,
    initial_width: Count = 24,
    slope: NonNegative = 36.44,
    width_factor: Positive = 2.49,
    group_width: Count = 8,
    stem: Count = 64,
    strides: Counts = (1, 1, 2, 2),
    dropout: Fraction = 0.0,
) -> nn.Module:
    """RegNetX-200MF (Radosavovic et al. 2020, arXiv 2003.13678) for small images: stem of stride 1.

    Takes images of any size. The paper has a stem of 32 channels and stride 2 in the stem and in every stage; the
    defaults make stages of 1, 1, 4, 7 blocks with 24, 56, 152, 368 channels.

    Args:
        depth: number of blocks (d)
        initial_width: width of the first block (w_0), a multiple of 8
        slope: growth of the width from block to block (w_a)
        width_factor: factor between the widths of neighbouring stages (w_m), above 1
        group_width: channels of each group of a 3x3 convolution (g)
        stem: channels of the first convolution
        strides: stride of each of the four stages
        dropout: probability that a feature is dropped before the classifier
    """
    if initial_width % 8 or width_factor <= 1:
        raise ValueError(
            "regnetx: initial_width is a multiple of 8 and width_factor above 1, "
            f"not {initial_width} and {width_factor}"
        )
    _, stages, _ = generate_regnet(slope, initial_width, width_factor, depth, group_width)
    if stages != 4:
        raise ValueError(f"regnetx: depth, initial_width, slope and width_factor make {stages} stages; four are needed")
    if len(strides) != 4:
        raise ValueError(f"regnetx: strides has {len(strides)} numbers; give one for each of the four stages")
    model = RegNet(
        RegNetCfg(depth, w0=initial_width, wa=slope, wm=width_factor, group_size=group_width, stem_width=stem),
        num_classes=num_classes,
        drop_rate=dropout,
        zero_init_last=False,  # a zero scale keeps every gradient from the branch at the first step
    )
    model.stem.conv.stride = (1, 1)  # stride 2 → 1: 32×32 input
    for stage, stride in zip((model.s1, model.s2, model.s3, model.s4), strides, strict=True):
        # strides 2, 2, 2, 2 → 1, 1, 2, 2: 32×32 input
        stage.b1.conv2.conv.stride = stage.b1.downsample.conv.stride = (stride, stride)
    return declare(model, Facts(classifier="head.fc", first="stem.conv"))
