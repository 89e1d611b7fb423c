"""The residual autoencoder of Liu, Zhang, with wide kernels in its blocks."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.networks.plain_autoencoder import PlainAutoencoder, require_size, scaled

# The paper says 250, of which its own last pooling would get a single place; its code and its decoder have 256.
SIDE = 256
# Side of the decoder's first features, and the channels there.
PLACES, DEPTH = 4, 256
HIDDEN = 256
DROPOUT = 0.5


class ResidualHalving(nn.Module):
    """Two wide convolutions and a halving one, beside a halving shortcut: ``(B, a, H, W)`` to ``(B, b, H/2, W/2)``.

    Args:
        before: Channels ``a``.
        after: Channels ``b``.
        kernel: Side of the wide convolutions; odd.
        convolution: Of the halving; its transposed one doubles.
    """

    def __init__(
        self, before: int, after: int, kernel: int, convolution: type[nn.Conv2d | nn.ConvTranspose2d] = nn.Conv2d
    ) -> None:
        super().__init__()
        middle = round((before + after) / 2)
        self.residual = nn.Sequential(
            convolution(before, middle, kernel, padding=kernel // 2),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            convolution(middle, after, kernel, padding=kernel // 2),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            convolution(after, after, 4, 2, 1),
        )
        self.shortcut = convolution(before, after, 4, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        """The sum of both."""
        halved: Tensor = self.residual(features) + self.shortcut(features)
        return halved


class ResidualDoubling(ResidualHalving):
    """The same with transposed convolutions, to ``(B, b, 2H, 2W)``; for the arguments see ``ResidualHalving``."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__(before, after, kernel, nn.ConvTranspose2d)


class ResidualBlocksAutoencoder(PlainAutoencoder):
    """Residual halvings between poolings down to linear latents, and residual doublings back.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; 256.
        latent: Latent dimensions.
        decoder_norm: ``dropout`` after the decoder's convolutions, as in the paper, or ``batch`` norm before their
            ReLU, as in the released code.
        width: Share of the published channels, the latent's apart.

    Raises:
        OptionError: If the images are of another size.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, decoder_norm: str, width: float) -> None:
        super().__init__()
        require_size(image_size, SIDE, "this network")
        self.latent = latent
        first, middle, last = (scaled(channels, width) for channels in (64, 256, 512))
        hidden, depth = scaled(HIDDEN, width), scaled(DEPTH, width)
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, first, 6, 2, 2, bias=False),  # 128
            *_normed(first),
            nn.MaxPool2d(4, 2, 1),  # 64
            ResidualHalving(first, middle, 5),  # 32
            *_normed(middle),
            nn.MaxPool2d(4, 2, 1),  # 16
            ResidualHalving(middle, last, 7),  # 8
            *_normed(last),
            nn.MaxPool2d(4, 2, 1),  # 4
            nn.Conv2d(last, last, 4, 2, 1),  # 2
            *_normed(last),
            nn.MaxPool2d(2),  # 1
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(last, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, latent),
        )

        def after(channels: int) -> list[nn.Module]:
            return _normed(channels) if decoder_norm == "batch" else [nn.ReLU(), nn.Dropout(DROPOUT)]

        self.decoder = nn.Sequential(
            nn.BatchNorm1d(latent),
            nn.ReLU(),
            nn.Linear(latent, hidden),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden, depth * PLACES**2),
            nn.BatchNorm1d(depth * PLACES**2),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Unflatten(1, (depth, PLACES, PLACES)),
            nn.ConvTranspose2d(depth, last, 4, 2, 1),  # 8
            *after(last),
            nn.ConvTranspose2d(last, last, 4, 2, 1),  # 16
            *after(last),
            ResidualDoubling(last, middle, 7),  # 32
            *after(middle),
            nn.ConvTranspose2d(middle, middle, 4, 2, 1),  # 64
            *after(middle),
            ResidualDoubling(middle, first, 5),  # 128
            *after(first),
            nn.ConvTranspose2d(first, in_channels, 6, 2, 2),  # 256
        )


def _normed(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]
