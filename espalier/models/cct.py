import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torchvision.ops import MLP, StochasticDepth

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count, Fraction, Literal, Positive


class Attention(nn.Module):
    """Self-attention that stays whole when channels are taken out of its projections.

    The width of a head is read from the projection, and need not be that of the tokens; the scale is that of
    construction, since a head without its zero channels must weigh as before. Queries, keys and values are unbound
    and not indexed, which is what dependency tracing understands.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = heads, dropout
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        width = self.qkv.out_features // (3 * self.num_heads)
        fused = self.qkv(x).reshape(*x.shape[:2], 3, self.num_heads, width)
        query, key, value = fused.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        out = scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=self.scale)
        return self.proj(out.transpose(1, 2).reshape(*x.shape[:2], self.num_heads * width))


class Block(nn.Module):
    """Attention and two linear layers, each of normalized tokens and added to them."""

    def __init__(
        self, dim: int, heads: int, hidden: int, dropout: float, attention_dropout: float, skipped: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, [hidden, dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        self.skip = StochasticDepth(skipped, "row")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.skip(self.dropout(self.attention(self.norm1(x))))
        return x + self.skip(self.mlp(self.norm2(x)))


class SeqPool(nn.Module):
    """Mean of the tokens, weighted by a learned attention to each (section 3.2 of the paper)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = nn.Linear(dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x).softmax(1)
        return (weights.transpose(1, 2) @ x).squeeze(1)


def sine(tokens: int, dim: int) -> Tensor:
    """Sines and cosines of the position, one frequency a pair of channels (Vaswani et al. 2017, arXiv 1706.03762)."""
    channel = torch.arange(dim)
    angle = torch.arange(tokens)[:, None] / 10_000 ** (2 * (channel // 2) / dim)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos())[None]


class CompactTransformer(nn.Module):
    """Tokens from convolutions, an encoder, sequence pooling, a classifier."""

    def __init__(
        self,
        num_classes: int,
        tokenizer: nn.Sequential,
        tokens: int,
        dim: int,
        layers: int,
        heads: int,
        mlp_ratio: float,
        positional: str,
        rates: tuple[float, float, float],
    ) -> None:
        super().__init__()
        dropout, attention_dropout, stochastic_depth = rates
        self.tokenizer = tokenizer
        if positional == "learnable":
            self.position = nn.Parameter(torch.zeros(1, tokens, dim))
            nn.init.trunc_normal_(self.position, std=0.2)
        else:
            self.register_buffer("position", sine(tokens, dim) if positional == "sine" else None)
        self.dropout = nn.Dropout(dropout)
        hidden = max(1, int(dim * mlp_ratio))
        skipped = [stochastic_depth * layer / max(1, layers - 1) for layer in range(layers)]
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, dropout, attention_dropout, rate) for rate in skipped))
        self.norm = nn.LayerNorm(dim)
        self.pool = SeqPool(dim)
        self.classifier = nn.Linear(dim, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokenizer(x).flatten(2).transpose(1, 2)
        if self.position is not None:
            x = x + self.position
        return self.classifier(self.pool(self.norm(self.blocks(self.dropout(x)))))


def stated(model: CompactTransformer, heads: int) -> nn.Module:
    """The network with its facts."""
    paths = [f"blocks.{index}.attention.qkv" for index in range(len(model.blocks))]
    facts = Facts(
        classifier="classifier",
        first="tokenizer.0",
        unprunable=("pool.attention",),  # one weight a token
        attention_heads=dict.fromkeys(paths, heads),
    )
    return declare(model, facts)


# A convolution (stride s, kernel k) and its pooling need 2s(n - 1) + k % 2 pixels to leave n. Two tokens a side are
# left: attention and sequence pooling learn nothing from a single token.
@register(
    "model",
    smallest="1 + (2 * max(1, kernel // 2 - 1)) ** convs if kernel % 2 else 2 if kernel < 6 else "
    "((kernel - 2) + (kernel - 2) ** convs * (kernel - 4)) // (kernel - 3)",
    requires={"dim % heads == 0": "dim {dim} is no multiple of {heads} heads"},
    depths={"layers": (2, 4, 6, 7)},
    presets={
        "cct_6_3x1": {"layers": 6},
        "cct_7_3x1": {"layers": 7},
        "cct_7_3x1_report": {"layers": 7, "mlp_ratio": 3.0},
    },
    novelty=("convolutional tokens", "sequence pooling"),
)
def cct(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    layers: Count = 6,
    heads: Count = 4,
    dim: Count = 256,
    mlp_ratio: Positive = 2.0,
    kernel: Count = 3,
    convs: Count = 1,
    positional: Literal["learnable", "sine", "none"] = "learnable",
    dropout: Fraction = 0.0,
    attention_dropout: Fraction = 0.1,
    stochastic_depth: Fraction = 0.1,
) -> nn.Module:
    """Compact Convolutional Transformer (Hassani et al. 2021, arXiv 2104.05704): tokens from convolutions and pooling.

    CCT-L/kxn has L layers and n convolutions of kernel k: the defaults are CCT-6/3x1; CCT-7/3x1 has 7 layers.
    Published CCT-7/3x1 at 32x32 and 10 classes has 3,760,139 parameters. A count of 4,679,435, also reported
    under that name, is met with mlp_ratio 3, a value found from the count alone.

    Args:
        layers: encoder layers
        heads: attention heads of each layer
        dim: width of a token, a multiple of the heads
        mlp_ratio: hidden width of a layer's MLP, in token widths
        kernel: side of the tokenizer's convolutions; their stride is kernel // 2 - 1, at least 1
        convs: convolutions of the tokenizer, 64 channels wide but for the last, each with a 3x3 max-pooling of stride 2
        positional: embedding of the token's position
        dropout: probability that a value of the tokens, of an attention's output or in an MLP is dropped
        attention_dropout: probability that an attention weight is dropped
        stochastic_depth: probability that the last layer is skipped for an image; it grows linearly from 0
    """
    refuse("cct", image_size, kernel=kernel, convs=convs, dim=dim, heads=heads)
    stride, padding = max(1, kernel // 2 - 1), kernel // 2

    def side(size: int) -> int:
        for _ in range(convs):
            size = ((size + 2 * padding - kernel) // stride) // 2 + 1
        return size

    widths = [in_channels, *[64] * (convs - 1), dim]
    tokenizer = nn.Sequential()
    for inputs, outputs in itertools.pairwise(widths):
        tokenizer.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False))
        tokenizer.extend((nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)))
    rates = (dropout, attention_dropout, stochastic_depth)
    tokens = side(image_size) ** 2
    model = CompactTransformer(num_classes, tokenizer, tokens, dim, layers, heads, mlp_ratio, positional, rates)
    return stated(model, heads)
