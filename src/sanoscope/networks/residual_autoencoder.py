"""Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture: constrained unsupervised anomaly segmentation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.networks.autoencoder import divisible
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.networks.resnet import WIDTHS, BasicBlock, ResNetTrunk

# Channels of the latent grid that the conference decoder starts from, and after each of its doublings.
SEED_CHANNELS, DECODER_WIDTHS = 32, (256, 128, 64, 32, 16)
# After each doubling of the journal decoder: half of what the encoder has at that resolution.
JOURNAL_WIDTHS = (256, 128, 64, 32)
# Of group norm: at least eight channels in each.
GROUPS = 8


class ResidualAutoencoder(LogitAutoencoder):
    """ResNet-18 encoder whose blocks can be looked into, and a residual decoder that ends in logits.

    At 1×224×224 and latent 32 the encoder has 12,775,808 parameters, 802,848 fewer without a posterior's variance, and
    the decoder 1,771,841.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width, a multiple of 32 (``journal``: of 16).
        latent: Latent dimensions; with ``journal`` the channels of a latent grid of a sixteenth of the image's side,
            so that there are ``latent · (image_size / 16)²`` dimensions.
        variant: ``conference``, or the later ``journal`` one without max-pool, with a spatial latent and a decoder
            of two basic blocks a stage.
        stem: ``bare``, without batch norm and ReLU after the first convolution as in the released code, or ``full``.
        normalization: Of the encoder: ``batch`` norm, or ``group`` norm, which couples no images in training either.
        max_pool: Halve the image by max-pooling after the stem; without it every block's map is twice as fine.
            ``journal`` has none either way.
        block: See ``LogitAutoencoder``, as ``weighting``, ``statistics``, ``variational`` and ``dropout``.
        unit: The residual unit of that block, 1 or 2, after which they are taken; the first sees less far around.
    """

    encoder: ResNetTrunk

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        variant: str = "conference",
        stem: str = "bare",
        normalization: str = "batch",
        max_pool: bool = True,
        block: int = 1,
        unit: int = 2,
        weighting: str = "gradient",
        statistics: str = "batch",
        variational: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(block, weighting, statistics, dropout)
        self.unit = unit
        self.encoder = ResNetTrunk("resnet18", in_channels)
        if stem == "bare":
            _leave_out(self.encoder, "bn1", "relu")
        if normalization == "group":
            _use_group_norm(self.encoder)
        if variant == "journal" or not max_pool:
            _leave_out(self.encoder, "maxpool")
        if variant == "journal":
            side = divisible(image_size, 16, "this network")
            self.latent = latent * side * side
            self.mean, self.logvar = self.heads(
                lambda: nn.Sequential(nn.Conv2d(WIDTHS[-1], latent, 1), nn.Flatten()), variational
            )
            self.decoder = nn.Sequential(nn.Unflatten(1, (latent, side, side)), *_journal_stages(latent, in_channels))
        else:
            side = divisible(image_size, 32, "this network")
            self.latent = latent
            flat = WIDTHS[-1] * (side * (1 if max_pool else 2)) ** 2
            self.mean, self.logvar = self.heads(
                lambda: nn.Sequential(nn.Flatten(), nn.Linear(flat, latent)), variational
            )
            self.decoder = nn.Sequential(
                nn.Linear(latent, SEED_CHANNELS * side * side),
                nn.Unflatten(1, (SEED_CHANNELS, side, side)),
                *_conference_stages(in_channels),
            )

    def features(self, images: Tensor, block: int | None = None) -> Tensor:
        """See ``LogitAutoencoder.features``."""
        encoder = self.encoder
        features: Tensor = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(images))))
        last = block or self.block
        for number in range(1, last):
            features = encoder.get_submodule(f"layer{number}")(features)
        for unit in self._units(last)[: self.unit]:
            features = unit(features)
        return features

    def _units(self, block: int) -> list[nn.Module]:
        """The residual units of a block."""
        return list(self.encoder.get_submodule(f"layer{block}").children())

    def posterior(self, activations: Tensor, block: int | None = None) -> tuple[Tensor, Tensor | None]:
        """See ``LogitAutoencoder.posterior``."""
        features, first = activations, block or self.block
        for unit in self._units(first)[self.unit :]:
            features = unit(features)
        for number in range(first + 1, 5):
            features = self.encoder.get_submodule(f"layer{number}")(features)
        return self.through_heads(features)


class Doubling(nn.Module):
    """Nearest-neighbour doubling, then a residual block whose ReLUs come before its batch norms, as released.

    Args:
        before: Channels of the input.
        after: Channels of the output.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(after),
            nn.Conv2d(after, after, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(after),
        )
        self.skip = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, after, 2H, 2W)``."""
        features = F.interpolate(features, scale_factor=2)
        doubled: Tensor = self.main(features) + self.skip(features)
        return doubled


def _leave_out(network: nn.Module, *names: str) -> None:
    for name in names:
        network.set_submodule(name, nn.Identity())


def _use_group_norm(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, nn.GroupNorm(GROUPS, module.num_features))


def _conference_stages(channels: int) -> list[nn.Module]:
    widths = (SEED_CHANNELS, *DECODER_WIDTHS)
    stages = [Doubling(before, after) for before, after in zip(widths, DECODER_WIDTHS, strict=False)]
    return [*stages, nn.Conv2d(widths[-1], channels, 3, padding=1)]


def _journal_stages(latent: int, channels: int) -> list[nn.Module]:
    stages: list[nn.Module] = []
    for before, after in zip((latent, *JOURNAL_WIDTHS), JOURNAL_WIDTHS, strict=False):
        stages += [nn.Upsample(scale_factor=2), BasicBlock(before, after, 1), BasicBlock(after, after, 1)]
    return [*stages, nn.Conv2d(JOURNAL_WIDTHS[-1], channels, 3, padding=1)]
