"""Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture (the attention's map, and scores of an image)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.errors import ModelError
from sanoscope.networks.gradcam import channel_weights, class_activation_map
from sanoscope.networks.residual_vae import ResidualVAE
from sanoscope.objectives.constrained_elbo import reconstruction_error
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl
from sanoscope.scoring.attention_reading import AttentionReading, NormalAttention, smoothed
from sanoscope.scoring.scored import Scored, deciding_first, inside_only, map_score

MAPS = ("attention", "residual")
SCORES = ("map-mean", "map-max", "elbo", "kl", "mse")
# How the channels' weights are taken: as they are, or those alone that speak for attention.
CHANNELS = ("signed", "positive")
# Names of what is learned of training normals: the channels' weights where they are shared, and the attention.
WEIGHTS, NORMAL, NORMAL_INSIDE = "channel_weights", "normal_attention", "normal_inside"
# Maps of so many normals are kept: their percentiles, and their statistics at a place, are known well enough.
NORMALS = 256


class AttentionScoring:
    """Maps from where the encoder looks and what the decoder misses, and scores of the image.

    Maps: ``attention``, the class activation map without sigmoid, upsampled and scaled; ``residual``, ``|x − x̂|``, its
    mean over channels. Scores: ``map-mean`` and ``map-max`` of the deciding map; ``elbo``, binary cross-entropy and
    β KL, means over pixels and latent dimensions; ``kl``, a sum; ``mse``.

    Args:
        map: The map that decides.
        score: The score that decides.
        also: ``all`` other scores and the other map beside them, or ``none``.
        channels: ``signed`` weights of the channels as they are, or ``positive`` ones alone.
        scaling: ``image`` scales the attention of each image from its least to its greatest value inside; ``training``
            from one low to one high percentile of training normals, and to nothing less than 0; ``position`` does so
            with how many deviations it is from the mean of training normals at the same place.
        centring: ``median`` subtracts from the attention of each image its median inside, so that only what differs
            from the rest of it remains; ``none`` leaves it.
        sign: 1 where anomalies have more attention than normal tissue, as published; −1 where they have less.
        smoothing: Standard deviation in pixels of a Gaussian over what is inside; 0 is off.
        precision: ``float32``, ``bfloat16`` or ``auto``.
        beta: Weight of the KL term in ``elbo``; the training's.
    """

    def __init__(
        self,
        map: str,  # the option's natural name
        score: str,
        also: str,
        channels: str,
        scaling: str,
        centring: str,
        sign: int,
        smoothing: float,
        precision: str,
        beta: float,
    ) -> None:
        self.map_names = deciding_first("map", map, MAPS, MAPS if also == "all" else ())
        self.names = deciding_first("score", score, SCORES, SCORES if also == "all" else ())
        self.positive = channels == "positive"
        self.reading = AttentionReading(scaling, centring == "median", sign, smoothing)
        self.smoothing = smoothing
        self.precision = precision
        self.beta = beta
        self.learned: dict[str, np.ndarray] = {}

    def learn(self, network: ResidualVAE, batches: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, np.ndarray]:
        """Keep the attention of some training normals; see ``Scoring.learn``.

        The batches are gone through twice where weights are shared. What is kept is the attention before it is read,
        so that sign, centring, smoothing and scaling can be changed on a fitted model.
        """
        self.learned = {}
        if network.weighting == "shared":
            weights = [self._own_weights(network, images) for images, _ in batches]
            self.learned[WEIGHTS] = torch.cat(weights).mean(0).cpu().numpy()
        maps, insides = [], []
        for images, inside in batches:
            mean, _, activations = self._encoded(network, images)
            maps.append(self._activation_map(network, mean, activations).detach().half().cpu())
            everywhere = torch.ones_like(images[:, 0], dtype=torch.bool)
            insides.append((everywhere if inside is None else inside).cpu())
        kept = np.unique(np.linspace(0, sum(map(len, maps)) - 1, NORMALS).astype(int))
        self.learned[NORMAL] = torch.cat(maps)[kept].numpy()
        self.learned[NORMAL_INSIDE] = torch.cat(insides)[kept].numpy()
        return self.learned

    def __call__(self, network: ResidualVAE, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``; see ``Scoring``."""
        mean, logvar, logits, maps = self._look(network, images, inside, self.map_names)
        scores = {name: self._score(name, images, inside, mean, logvar, logits, maps) for name in self.names}
        return Scored(scores, maps, logits.sigmoid())

    def deciding(self, network: ResidualVAE, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``, with no gradient that it does not need."""
        score = self.names[0]
        names = self.map_names[:1] if score.startswith("map-") else ()
        mean, logvar, logits, maps = self._look(network, images, inside, names)
        return self._score(score, images, inside, mean, logvar, logits, maps)

    def latents(self, network: ResidualVAE, images: Tensor) -> Tensor:
        """Posterior means ``(B, L)``."""
        with torch.inference_mode():
            return network.encode(images)[0]

    def _look(
        self, network: ResidualVAE, images: Tensor, inside: Tensor | None, names: tuple[str, ...]
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Mean, logvar and reconstruction logits, and the maps of these names."""
        maps = {}
        if "attention" in names:
            mean, logvar, attention = self._attention(network, images)
        else:
            with torch.no_grad():
                mean, logvar = network.encode(images)
        with torch.no_grad():
            logits = network.decode_logits(mean).float()
            for name in names:
                if name == "attention":
                    maps[name] = self._reading()(attention, inside)
                else:
                    maps[name] = smoothed((images - logits.sigmoid()).abs().mean(1), inside, self.smoothing)
        return mean, logvar, logits, {name: inside_only(values, inside) for name, values in maps.items()}

    def _attention(self, network: ResidualVAE, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and logvar, and the attention on the images' own grid, ``(B, H, W)``."""
        with torch.enable_grad():
            mean, logvar, activations = self._encoded(network, images)
            attention = self._activation_map(network, mean, activations).detach()
        return mean.detach(), logvar.detach(), _grown(attention, images.shape[2:])

    def _encoded(self, network: ResidualVAE, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, logvar and activations; from the activations on with gradients, which nothing before them needs."""
        with torch.no_grad():
            activations = network.features(images)
        with torch.enable_grad():
            activations = activations.detach().requires_grad_()
            mean, logvar = network.posterior(activations)
        return mean, logvar, activations

    def _activation_map(self, network: ResidualVAE, mean: Tensor, activations: Tensor) -> Tensor:
        """The class activation map ``(B, h, w)``; shared weights are those of the training normals."""
        if network.weighting == "channel-mean" or (network.weighting != "shared" and not self.positive):
            return class_activation_map(mean, activations, network.weighting)
        if network.weighting == "shared":
            if WEIGHTS not in self.learned:
                raise ModelError("network.weighting=shared needs the weights that fitting learned; fit again")
            weights = torch.from_numpy(self.learned[WEIGHTS])[None].to(activations.device)
        else:
            weights = channel_weights(mean, activations)
        weights = weights.clamp(min=0) if self.positive else weights  # (B or 1, K)
        with torch.autocast(activations.device.type, enabled=False):
            return (weights[:, :, None, None] * activations.float()).sum(1)

    def _own_weights(self, network: ResidualVAE, images: Tensor) -> Tensor:
        """The channels' weights of each image, ``(B, K)``."""
        mean, _, activations = self._encoded(network, images)
        return channel_weights(mean, activations).detach()

    def _reading(self) -> AttentionReading:
        """The reading, with the normals that its scale comes from."""
        if self.reading.scaling != "image" and self.reading.normal is None:
            if NORMAL not in self.learned:
                raise ModelError(
                    f"scoring.scaling={self.reading.scaling} needs what fitting learned of the training normals; "
                    "fit again, or set it to image"
                )
            inside = torch.from_numpy(self.learned[NORMAL_INSIDE].astype(bool))
            maps = _grown(torch.from_numpy(self.learned[NORMAL]).float(), inside.shape[1:])
            self.reading.normal = NormalAttention(maps, inside)
        return self.reading

    def _score(
        self,
        name: str,
        images: Tensor,
        inside: Tensor | None,
        mean: Tensor,
        logvar: Tensor,
        logits: Tensor,
        maps: dict[str, Tensor],
    ) -> Tensor:
        if name == "mse":
            return reconstruction_error(images, logits, "l2")
        if name in ("elbo", "kl"):
            kl = gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE))
            return kl if name == "kl" else reconstruction_error(images, logits, "bce") + self.beta * kl / mean.shape[1]
        return map_score(name, maps[self.map_names[0]], inside)


def _grown(attention: Tensor, size: Sequence[int]) -> Tensor:
    """Attention ``(B, h, w)`` on another grid ``(B, H, W)``."""
    # Autocast would carry it out in bfloat16.
    with torch.autocast(attention.device.type, enabled=False):
        return F.interpolate(attention[:, None], tuple(size), mode="bilinear", align_corners=True)[:, 0]
