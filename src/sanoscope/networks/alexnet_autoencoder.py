"""The autoencoder of Liu, Zhang whose encoder is AlexNet (Krizhevsky, Sutskever, Hinton) as torchvision has it."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from sanoscope.networks.plain_autoencoder import PlainAutoencoder, require_size, scaled
from sanoscope.networks.pretrained import fill, published_weights

SIDE = 250
# Convolutions of the encoder: channels, kernel, stride, padding; and after which of them there is a pooling.
FEATURES = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
POOLED = (0, 1, 4)
HIDDEN = 4096
# Side of the encoder's last features and of the decoder's first; and the channels there.
PLACES, DEPTH = 6, 256
# Transposed convolutions to sides of 8, 16, 30, 62, 126 and 250; the last has the image's channels.
DECODER = ((256, 5, 1, 1), (384, 4, 2, 1), (192, 4, 2, 2), (192, 6, 2, 1), (64, 6, 2, 1), (3, 4, 2, 2))
_REPLACED = "classifier.6."


class AlexNet(nn.Module):
    """AlexNet with another last layer; 59,101,504 parameters with 512 outputs, and torchvision's names for them.

    Args:
        in_channels: Channels of the image; published weights need 3.
        outputs: Of the last linear layer; with 1,000 it is the published network of 61,100,840 parameters.
        width: Share of the published channels; published weights need 1.
    """

    def __init__(self, in_channels: int, outputs: int, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = in_channels
        for number, (channels, kernel, stride, padding) in enumerate(FEATURES):
            after = scaled(channels, width)
            layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU()]
            if number in POOLED:
                layers.append(nn.MaxPool2d(3, 2))
            before = after
        hidden = scaled(HIDDEN, width)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(PLACES)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(before * PLACES**2, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Outputs ``(B, outputs)`` of images ``(B, C, H, W)``."""
        features: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return features


class AlexNetAutoencoder(PlainAutoencoder):
    """AlexNet down to linear latents; three hidden layers and six transposed convolutions back.

    Args:
        in_channels: Channels of the image; 3 where pretrained weights are used.
        image_size: Height and width; 250.
        latent: Latent dimensions.
        pretrained: Start the encoder, but for its last layer, from ImageNet weights.
        weights: Local file of the weights; None loads them by name.
        width: Share of the published channels, the latent's apart; 1 where pretrained weights are used.

    Raises:
        OptionError: If the images are of another size.
    """

    def __init__(
        self, in_channels: int, image_size: int, latent: int, pretrained: bool, weights: str | None, width: float
    ) -> None:
        super().__init__()
        require_size(image_size, SIDE, "this network")
        self.latent = latent
        self.pretrained = pretrained
        self.weights = weights
        self.encoder = AlexNet(in_channels, latent, width)
        hidden, depth = scaled(HIDDEN, width), scaled(DEPTH, width)
        layers: list[nn.Module] = []
        for before, after in pairwise((latent, hidden, hidden, depth * PLACES**2)):
            layers += [nn.ReLU(), nn.Dropout(), nn.Linear(before, after)]
        layers += [nn.Unflatten(1, (depth, PLACES, PLACES)), nn.BatchNorm2d(depth), nn.ReLU()]
        before = depth
        *inner, last = DECODER
        for channels, kernel, stride, padding in inner:
            after = scaled(channels, width)
            layers += [nn.ConvTranspose2d(before, after, kernel, stride, padding), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        _, kernel, stride, padding = last
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(before, in_channels, kernel, stride, padding))

    def initialise(self) -> None:
        """Fetch the published weights, where they are asked for."""
        if not self.pretrained:
            return
        or_else = ", or network.pretrained=false to start from random weights"
        published = published_weights("alexnet", self.weights, "network", or_else)
        own = {key: value for key, value in self.encoder.state_dict().items() if key.startswith(_REPLACED)}
        kept = {key: value for key, value in published.items() if not key.startswith(_REPLACED)}
        fill(self.encoder, kept | own, "alexnet", self.weights, "network")
