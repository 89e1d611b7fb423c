"""The convolutional autoencoders of Liu, Zhang, with max-pooling and with strides in its place."""

from __future__ import annotations

from torch import nn

from sanoscope.networks.plain_autoencoder import PlainAutoencoder, require_size, scaled

# The only size that the layers reduce to one place, and that the decoder ends with.
SIDE = 50
# Convolutions of the encoders: channels, kernel, stride, padding. With pooling each but the last is halved; the sides
# are 48, 22, 10, 4, 1 before pooling, and 49, 24, 11, 4, 1 with strides alone. The last has the latent's channels.
POOLED = ((128, 3, 1, 0), (256, 5, 1, 1), (512, 4, 1, 1), (256, 3, 2, 2), (256, 2, 1, 0))
STRIDED = ((128, 4, 1, 1), (256, 5, 2, 1), (512, 4, 2, 0), (256, 5, 2, 0), (192, 4, 2, 0))
# Transposed convolutions of both decoders, to sides of 2, 3, 6, 12, 25 and 50; the last has the image's channels.
DECODER = ((256, 4, 1, 1), (512, 3, 2, 1), (256, 4, 2, 1), (256, 4, 2, 1), (128, 5, 2, 1), (3, 4, 2, 1))


class ConvolutionalAutoencoder(PlainAutoencoder):
    """Five convolutions to one place, and six transposed ones back; batch norm and ReLU after all but the ends.

    Latents are taken after the last batch norm and before the ReLU that the decoder begins with. At 3×50×50 the encoder
    with max-pooling has 4,365,824 parameters and its decoder 6,203,523 (latent 256); without, 6,989,760 and 5,941,379
    (latent 192).

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; 50.
        latent: Latent dimensions.
        max_pool: Halve by max-pooling; otherwise by strides.
        width: Share of the published channels, the latent's apart.

    Raises:
        OptionError: If the images are of another size.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, max_pool: bool, width: float) -> None:
        super().__init__()
        require_size(image_size, SIDE, "this network")
        self.latent = latent
        before = in_channels
        encoder: list[nn.Module] = []
        *inner, last = POOLED if max_pool else STRIDED
        for channels, kernel, stride, padding in inner:
            after = scaled(channels, width)
            encoder += [nn.Conv2d(before, after, kernel, stride, padding), nn.BatchNorm2d(after), nn.ReLU()]
            if max_pool:
                encoder.append(nn.MaxPool2d(2))
            before = after
        _, kernel, stride, padding = last
        encoder += [nn.Conv2d(before, latent, kernel, stride, padding), nn.BatchNorm2d(latent), nn.Flatten()]
        self.encoder = nn.Sequential(*encoder)
        before = latent
        decoder: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), nn.ReLU()]
        *inner, last = DECODER
        for channels, kernel, stride, padding in inner:
            after = scaled(channels, width)
            decoder += [nn.ConvTranspose2d(before, after, kernel, stride, padding), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        _, kernel, stride, padding = last
        self.decoder = nn.Sequential(*decoder, nn.ConvTranspose2d(before, in_channels, kernel, stride, padding))
