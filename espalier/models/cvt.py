from torch import nn

from espalier.models.cct import CompactTransformer, stated
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count, Fraction, Literal, Positive


# Attention and sequence pooling learn nothing from a single token.
@register(
    "model",
    smallest="2 * patch",
    requires={
        "dim % heads == 0": "dim {dim} is no multiple of {heads} heads",
        "image_size % patch == 0": "patches of {patch}x{patch} do not tile images of {image_size}x{image_size}",
    },
    depths={"layers": (2, 4, 6, 7)},
    presets={"cvt_2_4": {"layers": 2, "patch": 4}},
    novelty=("sequence pooling",),
)
def cvt(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    layers: Count = 2,
    heads: Count = 2,
    dim: Count = 128,
    mlp_ratio: Positive = 1.0,
    patch: Count = 4,
    positional: Literal["learnable", "sine", "none"] = "learnable",
    dropout: Fraction = 0.0,
    attention_dropout: Fraction = 0.1,
    stochastic_depth: Fraction = 0.1,
) -> nn.Module:
    """Compact Vision Transformer (Hassani et al. 2021, arXiv 2104.05704): tokens from patches, sequence pooling.

    The defaults are CVT-2/4 as published: 214,539 parameters at 32x32 and 10 classes. The 209,163 also reported
    under that name are not reproduced.

    Args:
        layers: encoder layers
        heads: attention heads of each layer
        dim: width of a token, a multiple of the heads
        mlp_ratio: hidden width of a layer's MLP, in token widths
        patch: side of a patch; patches tile the image
        positional: embedding of the token's position
        dropout: probability that a value of the tokens, of an attention's output or in an MLP is dropped
        attention_dropout: probability that an attention weight is dropped
        stochastic_depth: probability that the last layer is skipped for an image; it grows linearly from 0
    """
    refuse("cvt", image_size, patch=patch, dim=dim, heads=heads)
    tokenizer = nn.Sequential(nn.Conv2d(in_channels, dim, patch, patch))
    tokens = (image_size // patch) ** 2
    rates = (dropout, attention_dropout, stochastic_depth)
    model = CompactTransformer(num_classes, tokenizer, tokens, dim, layers, heads, mlp_ratio, positional, rates)
    return stated(model, heads)
