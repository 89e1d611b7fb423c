"""Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture (the attention's map, and scores of an image)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.errors import ModelError
from sanoscope.networks.gradcam import channel_weights, class_activation_map
from sanoscope.networks.residual_vae import ResidualVAE
from sanoscope.objectives.constrained_elbo import reconstruction_error
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl
from sanoscope.scoring.scored import Scored, inside_only

MAPS = ("attention", "residual")
SCORES = ("map-mean", "map-max", "elbo", "kl", "mse")
# Of the attention inside training normals, the percentiles that scaling=training shows as 0 and 1: a few pixels in a
# thousand may go beyond, and what is darker than nearly all is not less than normal.
LOW, HIGH = 1.0, 99.9
# Under which they are kept, for either sign, without and with centring.
WEIGHTS = "channel_weights"
LEVELS = {
    (1, False): "attention_levels",
    (-1, False): "negated_attention_levels",
    (1, True): "centred_attention_levels",
    (-1, True): "negated_centred_attention_levels",
}
# Enough for a percentile to three digits of each batch.
SAMPLED_PIXELS = 100_000
# Beyond so many deviations a Gaussian has nothing left.
REACH = 4.0


class AttentionScoring:
    """Maps from where the encoder looks and what the decoder misses, and scores of the image.

    Maps: ``attention``, the class activation map without sigmoid, upsampled and scaled; ``residual``, ``|x − x̂|``, its
    mean over channels. Scores: ``map-mean`` and ``map-max`` of the deciding map; ``elbo``, binary cross-entropy and
    β KL, means over pixels and latent dimensions; ``kl``, a sum; ``mse``.

    Args:
        map: The map that decides.
        score: The score that decides.
        also: ``all`` other scores and the other map beside them, or ``none``.
        scaling: ``image`` scales the attention of each image from its least to its greatest value inside; ``training``
            from one low to one high percentile of training normals, and to nothing less than 0.
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
        scaling: str,
        centring: str,
        sign: int,
        smoothing: float,
        precision: str,
        beta: float,
    ) -> None:
        self.map_names = _deciding_first(map, MAPS if also == "all" else ())
        self.names = _deciding_first(score, SCORES if also == "all" else ())
        self.scaling = scaling
        self.centred = centring == "median"
        self.sign = sign
        self.smoothing = smoothing
        self.precision = precision
        self.beta = beta
        self.learned: dict[str, np.ndarray] = {}

    def learn(self, network: ResidualVAE, batches: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, np.ndarray]:
        """Find out between which levels the attention of training normals lies; see ``Scoring.learn``.

        The batches are gone through twice where weights are shared. The levels are those before smoothing, and found
        for either sign, with and without centring and whatever the scaling, so that these can be changed on a fitted
        model.
        """
        self.learned = {}
        samples: dict[bool, list[np.ndarray]] = {False: [], True: []}
        if network.weighting == "shared":
            weights = [self._channel_weights(network, images) for images, _ in batches]
            self.learned[WEIGHTS] = torch.cat(weights).mean(0).cpu().numpy()
        for images, inside in batches:
            attention = self._attention(network, images)[2]
            for centred, kept in samples.items():
                values = _centred(attention, inside) if centred else attention
                looked_at = values.flatten() if inside is None else values[inside]
                kept.append(looked_at[:: max(looked_at.numel() // SAMPLED_PIXELS, 1)].cpu().numpy())
        for (sign, centred), name in LEVELS.items():
            sample = np.concatenate(samples[centred])
            sample = sample if sample.size else np.array([0.0, 1.0])  # of images of which nothing is inside
            self.learned[name] = np.percentile(sign * sample, (LOW, HIGH))
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
                    centred = _centred(attention, inside) if self.centred else attention
                    maps[name] = self._scaled(self._smoothed(self.sign * centred, inside), inside)
                else:
                    maps[name] = self._smoothed((images - logits.sigmoid()).abs().mean(1), inside)
        return mean, logvar, logits, {name: inside_only(values, inside) for name, values in maps.items()}

    def _attention(self, network: ResidualVAE, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and logvar, and the attention on the images' own grid, ``(B, H, W)``."""
        with torch.no_grad():
            activations = network.features(images)
        with torch.enable_grad():  # from the activations on: what comes before them needs no gradient
            activations = activations.detach().requires_grad_()
            mean, logvar = network.posterior(activations)
            attention = self._activation_map(network, mean, activations).detach()
        # Autocast would carry it out in bfloat16.
        with torch.autocast(images.device.type, enabled=False):
            grown = F.interpolate(attention[:, None], images.shape[2:], mode="bilinear", align_corners=True)[:, 0]
        return mean.detach(), logvar.detach(), grown

    def _activation_map(self, network: ResidualVAE, mean: Tensor, activations: Tensor) -> Tensor:
        """The class activation map ``(B, h, w)``; shared weights are those of the training normals."""
        if network.weighting != "shared":
            return class_activation_map(mean, activations, network.weighting)
        if WEIGHTS not in self.learned:
            raise ModelError("network.weighting=shared needs the weights that fitting learned; fit again")
        weights = torch.from_numpy(self.learned[WEIGHTS]).to(activations.device)
        with torch.autocast(activations.device.type, enabled=False):
            return torch.einsum("k,bkhw->bhw", weights, activations.float())

    def _channel_weights(self, network: ResidualVAE, images: Tensor) -> Tensor:
        with torch.no_grad():
            activations = network.features(images)
        with torch.enable_grad():
            activations = activations.detach().requires_grad_()
            return channel_weights(network.posterior(activations)[0], activations).detach()

    def _scaled(self, attention: Tensor, inside: Tensor | None) -> Tensor:
        """The attention ``(B, H, W)`` from 0 up."""
        if self.scaling == "training":
            level = LEVELS[self.sign, self.centred]
            if level not in self.learned:
                raise ModelError(
                    "scoring.scaling=training needs what fitting learned of the training normals; "
                    "fit again, or set it to image"
                )
            bottom, top = (float(value) for value in self.learned[level])
            return ((attention - bottom) / max(top - bottom, 1e-12)).clamp(min=0)
        outside = torch.zeros_like(attention, dtype=torch.bool) if inside is None else ~inside
        low, high = (
            attention.masked_fill(outside, math.inf).amin((1, 2), keepdim=True),
            attention.masked_fill(outside, -math.inf).amax((1, 2), keepdim=True),
        )
        scaled = ((attention - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        # An image of which nothing is inside has no least and greatest value.
        return scaled.masked_fill(outside, 0.0)

    def _smoothed(self, maps: Tensor, inside: Tensor | None) -> Tensor:
        """Maps ``(B, H, W)`` with each value inside a weighted mean of those around it that are inside too."""
        if not self.smoothing:
            return maps
        reach = math.ceil(REACH * self.smoothing)
        distance = torch.arange(-reach, reach + 1, device=maps.device)
        weights = (-0.5 * (distance / self.smoothing).square()).exp()
        counted = torch.ones_like(maps) if inside is None else inside.to(maps.dtype)

        def spread(values: Tensor) -> Tensor:
            down = F.conv2d(values[:, None], weights.view(1, 1, -1, 1), padding=(reach, 0))
            return F.conv2d(down, weights.view(1, 1, 1, -1), padding=(0, reach))[:, 0]

        with torch.autocast(maps.device.type, enabled=False):
            smoothed: Tensor = spread(maps * counted) / spread(counted).clamp(min=1e-12)
        return smoothed

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
        deciding = maps[self.map_names[0]].flatten(1)
        if name == "map-max":
            return deciding.amax(1)
        return deciding.mean(1) if inside is None else deciding.sum(1) / inside.flatten(1).sum(1).clamp(min=1)


def _centred(attention: Tensor, inside: Tensor | None) -> Tensor:
    """The attention ``(B, H, W)`` less its median inside, image by image."""
    looked_at = attention if inside is None else attention.masked_fill(~inside, math.nan)
    # An image of which nothing is inside has no median.
    return attention - looked_at.flatten(1).nanmedian(1).values.nan_to_num()[:, None, None]


def _deciding_first(deciding: str, also: tuple[str, ...]) -> tuple[str, ...]:
    return (deciding, *(name for name in also if name != deciding))
