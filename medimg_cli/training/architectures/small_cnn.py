"""A small residual network for medical image classification, trained from scratch on a CPU.

Published building blocks only: residual blocks (He 2016), batch normalisation (Ioffe 2015), average-pooled
shortcuts (ResNet-D, He 2019), squeeze-and-excitation (Hu 2018), zero-initialised residual scale (Goyal 2017),
per-image standardisation at the input and global average pooling with dropout at the head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medimg_cli.preprocessing.automatic_choices import SMALL_NETWORK, preferred_size_px
from medimg_cli.training.architectures import ARCHITECTURES, Architecture


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class ImageStandardise(nn.Module):
    """Subtract each image's own mean and divide by its own deviation, taken over all channels and pixels.

    Makes the network blind to linear changes of brightness and contrast, which differ from scanner to scanner.
    All channels share one mean and deviation, so the colour of an image is kept.
    """

    def __init__(self, floor: float = 0.02) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, images: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True, correction=0)
        return (images - mean) / (deviation + self.floor)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(8, width // 8)
        self.reduce = nn.Linear(width, hidden)
        self.expand = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        gate = F.relu(self.reduce(features.mean(dim=(2, 3))))
        return features * torch.sigmoid(self.expand(gate))[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with squeeze-and-excitation beside an (average-pooled, where strided) shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = _conv(outputs, outputs, 3)
        self.second_norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.second_norm.weight)
        self.excite = SqueezeExcite(outputs)
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        if inputs != outputs:
            shortcut += [_conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(features)), inplace=True)
        inner = self.excite(self.second_norm(self.second(inner)))
        return F.relu(inner + self.shortcut(features), inplace=True)


def _stem_strides(image_size_px: int) -> list[int]:
    """Strides of the stem's convolutions, so that the first stage sees a map of about 28 to 64 px."""
    if image_size_px < 48:
        return [1]
    if image_size_px < 96:
        return [2]
    return [2, 2] if image_size_px < 320 else [2, 2, 2]


class SmallCNN(nn.Module):
    """Residual network whose stem and depth follow the image size, for 28 to 512 px and any number of classes.

    Input: float (N, channels, H, W), normalised by the training set's statistics. Output: logits (N, classes).

    For grey images and two classes; `tests/training/architectures/test_small_cnn.py` computes the same from the layers:

    | image px | stages | parameters | million multiply-adds an image | receptive field px | last map |
    |---------:|-------:|-----------:|-------------------------------:|-------------------:|---------:|
    |       28 |      3 |    312,930 |                           37.2 |                 25 |      7×7 |
    |       64 |      4 |  1,248,898 |                           63.2 |                 95 |      4×4 |
    |      128 |      4 |  1,253,394 |                           68.2 |                191 |      4×4 |
    |      224 |      4 |  1,253,394 |                          209.0 |                191 |      7×7 |

    The receptive field is that of the convolutions for one place of the last map; beyond it every place knows of
    the whole image what the squeeze-and-excitation gates and the per-image standardisation tell.
    """

    def __init__(
        self, classes: int, channels: int, image_size_px: int, width: int = 32, dropout: float = 0.2
    ) -> None:
        super().__init__()
        strides = _stem_strides(image_size_px)
        stages = 3 if image_size_px < 48 else 4
        layers: list[nn.Module] = []
        inputs = channels
        for index, stride in enumerate(strides):
            outputs = width if index == len(strides) - 1 else max(16, width // 2)
            layers += [_conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        self.standardise = ImageStandardise()
        self.stem = nn.Sequential(*layers)
        blocks: list[nn.Module] = []
        for stage in range(stages):
            outputs = width * 2**stage
            blocks.append(ResidualBlock(inputs, outputs, 1 if stage == 0 else 2))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature map (N, width of the last stage, h, w)."""
        maps: Tensor = self.blocks(self.stem(self.standardise(images)))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(images).mean(dim=(2, 3))))
        return logits


ARCHITECTURES.register("small-cnn")(
    Architecture(
        about="residual network of our own with squeeze-and-excitation, made for processors without a GPU",
        preferred_size_px=preferred_size_px(SMALL_NETWORK),
        epochs=24,
        lr=4e-3,
        build=SmallCNN,
    )
)
