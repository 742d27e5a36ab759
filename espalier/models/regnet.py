from timm.models.regnet import RegNet, RegNetCfg
from torch import nn

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count, Counts, Fraction, NonNegative, Positive


# The second rule counts the widths of the paper's equations 2 to 4.
@register(
    "model",
    requires={
        "initial_width % 8 == 0 and width_factor > 1": "initial_width is a multiple of 8 and width_factor above 1, "
        "not {initial_width} and {width_factor}",
        "len(set(round(initial_width * width_factor ** round(log(1 + slope * block / initial_width) / "
        "log(width_factor)) / 8) for block in range(depth))) == 4": "depth, initial_width, slope and width_factor make "
        "more or fewer than the four stages that are needed",
        "len(strides) == 4": "strides is {strides}; give one number for each of the four stages",
    },
    depths={"depth": (7, 10, 13, 16)},
    presets={
        "regnetx_200mf": {
            "depth": 13,
            "initial_width": 24,
            "slope": 36.44,
            "width_factor": 2.49,
            "group_width": 8,
            "stem": 64,
        }
    },
    pretrained={
        "timm/regnetx_002.pycls_in1k": "depth == 13 and initial_width == 24 and slope == 36.44 "
        "and width_factor == 2.49 and group_width == 8"
    },
    novelty=("residual connections", "grouped convolutions", "1x1 bottlenecks", "global pooling"),
)
def regnetx(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
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
    refuse(
        "regnetx",
        image_size,
        depth=depth,
        initial_width=initial_width,
        slope=slope,
        width_factor=width_factor,
        strides=strides,
    )
    model = RegNet(
        RegNetCfg(depth, w0=initial_width, wa=slope, wm=width_factor, group_size=group_width, stem_width=stem),
        in_chans=in_channels,
        num_classes=num_classes,
        drop_rate=dropout,
        zero_init_last=False,  # a zero scale keeps every gradient from the branch at the first step
    )
    model.stem.conv.stride = (1, 1)  # stride 2 → 1: 32×32 input
    for stage, stride in zip((model.s1, model.s2, model.s3, model.s4), strides, strict=True):
        # strides 2, 2, 2, 2 → 1, 1, 2, 2: 32×32 input
        stage.b1.conv2.conv.stride = stage.b1.downsample.conv.stride = (stride, stride)
    return declare(model, Facts(classifier="head.fc", first="stem.conv"))
