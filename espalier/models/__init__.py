"""Networks, one family a file, self-contained.

Facts that an entry may state, literals all: `presets`, names of published settings; `smallest`, `same_length` and
`requires`, what settings and images fit (`espalier.models.rules`); `pretrained`, published weights and the rule of the
settings that take them; `depths`, values of the setting that makes the family deeper, in ascending order; `standard`,
the network of torchvision that the family makes smaller: its name, or setting → value → name.
"""
