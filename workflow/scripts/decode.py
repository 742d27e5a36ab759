"""Turn a coded network into a plain state dict in fp32: decode.py MODEL.esp OUT.safetensors

Weights are the numbers that their levels stand for. What a network does to the inputs of its layers is no part of a
state dict: `espalier.networks.coded_network.load` gives the network with it.
"""

import argparse
import sys
from pathlib import Path

from espalier.errors import Mistake
from espalier.files import replacing
from espalier.site.process import importing, run, spare_compiler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coded", type=Path, metavar="MODEL.esp")
    parser.add_argument("output", type=Path, metavar="OUT.safetensors")
    args = parser.parse_args()

    # Networks of torchvision bring all of it.
    spare_compiler()
    with importing():
        from safetensors.torch import save_file

        from espalier.networks.coded_network import load

    try:
        network = load(args.coded)
        weights = {name: tensor.contiguous() for name, tensor in network.model.state_dict().items()}
        with replacing(args.output) as temporary:
            save_file(weights, temporary)
    except (Mistake, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for path in (args.coded, args.output):
        print(f"{path}: {path.stat().st_size:,} bytes")
    print(f"{network.choice.name}, {network.num_classes} classes, images of {network.image_size}x{network.image_size}")
    if network.quantization and (network.quantization.activations or network.quantization.dynamic):
        layers = len(network.quantization.activations) or len(network.quantization.dynamic)
        print(f"the inputs of {layers} layers are quantized too, which the state dict does not hold")


if __name__ == "__main__":
    run(main)
