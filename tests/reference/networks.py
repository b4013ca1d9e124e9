"""The networks of the COMET reference, built from torchvision's own parts.

selector(preset)         image [N,3,H,W] -> map [N,1,H,W] in [0,1] (LR-ASPP on a dilated MobileNetV3)
resnet(classes, width)   image [N,3,H,W] -> logits [N,classes]     (ResNet-18, channel counts * width/64)

The names in `selector(...).state_dict()` and `resnet(...).state_dict()` are those of torchvision's
`lraspp_mobilenet_v3_large` and `resnet18`.
"""

import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights
from torchvision.models.mobilenetv3 import mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.resnet import BasicBlock
from torchvision.models.segmentation.lraspp import _lraspp_mobilenetv3, lraspp_mobilenet_v3_large

PRESETS = ("full", "small")


class Selector(nn.Module):
    """Wraps an LR-ASPP network so that it returns the attribution map itself.

    torchvision's LR-ASPP already upsamples its result to the input's size (bilinear,
    align_corners=False); what is added is the sigmoid.
    """

    def __init__(self, lraspp):
        super().__init__()
        self.backbone = lraspp.backbone
        self.classifier = lraspp.classifier

    def forward(self, x):
        features = self.backbone(x)
        coarse = self.classifier(features)
        fine = nn.functional.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return torch.sigmoid(fine)


def selector(preset, pretrained=False):
    """The selector of a preset; `pretrained` starts the backbone from ImageNet weights (a download)."""
    if preset == "full":
        if pretrained:
            net = mobilenet_v3_large(weights=MobileNet_V3_Large_Weights.IMAGENET1K_V2, dilated=True)
            return Selector(_lraspp_mobilenetv3(net, num_classes=1))
        return Selector(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=1))
    if preset == "small":
        weights = MobileNet_V3_Small_Weights.IMAGENET1K_V1 if pretrained else None
        return Selector(_lraspp_mobilenetv3(mobilenet_v3_small(weights=weights, dilated=True), num_classes=1))
    raise ValueError(f"unknown preset {preset!r}, expected one of {PRESETS}")


class ResNet18(nn.Module):
    """ResNet-18 whose four stages have width, 2*width, 4*width and 8*width channels."""

    def __init__(self, classes, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inputs, outputs, stride):
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet(classes, width=64):
    return ResNet18(classes, width)


def set_bn_momentum(model, momentum):
    """torchvision's MobileNetV3 has momentum 0.01, whose running statistics lag in short runs."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = momentum
    return model


if __name__ == "__main__":
    from torchvision.models import resnet18

    count = lambda m: sum(p.numel() for p in m.parameters())
    ours, theirs = resnet(1000).state_dict(), resnet18().state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]
    for preset in PRESETS:
        net = selector(preset).eval()
        print(preset, "selector:", count(net), "parameters, map", tuple(net(torch.zeros(1, 3, 64, 96)).shape))
    for width in (64, 32):
        print("resnet width", width, ":", count(resnet(10, width)), "parameters for 10 classes")
