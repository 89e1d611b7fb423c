"""The backbones that the brain methods are built on, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from sanoscope.errors import OptionError
from sanoscope.networks.critics import build_critic
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.networks.residual_autoencoder import ResidualAutoencoder

# Each with the options that only the other has.
BACKBONES: dict[str, tuple[Callable[..., LogitAutoencoder], frozenset[str]]] = {
    "resnet18": (ResidualAutoencoder, frozenset({"bias"})),
    "light": (LightAutoencoder, frozenset({"variant", "stem", "normalization", "max_pool", "unit"})),
}


def variational(**options: Any) -> LogitAutoencoder:
    """A backbone that encodes to a posterior; see ``build``."""
    return build(variational=True, **options)


def deterministic(**options: Any) -> LogitAutoencoder:
    """A backbone that encodes to the latent itself; see ``build``."""
    return build(variational=False, **options)


def build(
    in_channels: int, image_size: int, backbone: str, critic: str = "none", bounded: bool = False, **options: Any
) -> LogitAutoencoder:
    """An autoencoder for images in [0, 1].

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        backbone: ``resnet18``, of Silva-Rodríguez et al.; or ``light``, of Zhou et al.
        critic: See ``build_critic``.
        bounded: Bound latents, or means, by tanh.
        options: Of the backbone; those that only the other has are left out.

    Raises:
        OptionError: If the size does not fit the backbone, or the journal variant is asked of the light one.
    """
    if backbone == "light" and options.get("variant") == "journal":
        raise OptionError("network.variant=journal is of the ResNet; set network.backbone=resnet18")
    kind, not_its_own = BACKBONES[backbone]
    of_its_own = {name: value for name, value in options.items() if name not in not_its_own}
    network = kind(in_channels, image_size, **of_its_own)
    if bounded:
        network.mean = nn.Sequential(network.mean, nn.Tanh())
    network.critic = build_critic(critic, in_channels, image_size)
    return network
