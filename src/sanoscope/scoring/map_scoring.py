"""Scoring by maps that are read against training normals: what the brain methods on one backbone share."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanoscope.errors import ModelError
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl
from sanoscope.objectives.logit_elbo import reconstruction_error
from sanoscope.scoring.look import Look
from sanoscope.scoring.map_reading import MapReading, NormalMaps
from sanoscope.scoring.scored import Scored, Scoring, deciding_first, inside_only, map_score

# With a posterior, and without.
VARIATIONAL_SCORES = ("map-mean", "map-max", "elbo", "kl", "mse")
DETERMINISTIC_SCORES = ("map-mean", "map-max", "bce", "mse")
# Under which is kept where training normals are looked at.
NORMAL_INSIDE = "normal inside"
# Maps of so many normals are kept: their percentiles, and their statistics at a place, are known well enough.
NORMALS = 256


class MapScoring(Scoring):
    """Raw maps of a look at an image, read against training normals, and scores of the image.

    Scores: ``map-mean`` and ``map-max`` of the deciding map; ``elbo``, binary cross-entropy and β KL, means over pixels
    and latent dimensions, or the first alone, ``bce``; ``kl``, a sum; ``mse``.

    Args:
        map: The map that decides, one of ``maps``.
        score: The score that decides.
        also: ``all`` other scores and maps beside them, or ``none``.
        scaling: ``none`` leaves a map as it is; ``maximum`` divides that of each image by its greatest value inside;
            ``image`` scales it from its least to its greatest value inside; ``training`` from one low to one high
            percentile of training normals, and to nothing less than 0; ``position`` does so with how many deviations
            it is from the mean of training normals at the same place.
        centring: ``median`` subtracts from the map of each image its median inside, so that only what differs from the
            rest of it remains; ``none`` leaves it.
        smoothing: Standard deviation in pixels of a Gaussian over what is inside; 0 is off.
        precision: ``float32``, ``bfloat16`` or ``auto``.
        beta: Weight of the KL term in ``elbo``; the training's, or None where there is no posterior.
        sign: 1 where anomalies have higher raw values than normal tissue; −1 where they have lower ones.

    Attributes:
        maps: Names of all that it can give.
        differentiated: Those among them that take gradients through the encoder.
    """

    maps: ClassVar[tuple[str, ...]]
    differentiated: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        map: str,  # the option's natural name
        score: str,
        also: str,
        scaling: str,
        centring: str,
        smoothing: float,
        precision: str,
        beta: float | None,
        sign: int = 1,
    ) -> None:
        scores = self.known_scores(beta)
        super().__init__(deciding_first("score", score, scores, scores if also == "all" else ()), precision)
        self.map_names = deciding_first("map", map, self.maps, self.maps if also == "all" else ())
        self.beta = beta
        self._readings = {name: MapReading(scaling, centring == "median", sign, smoothing) for name in self.map_names}

    @classmethod
    def known_scores(cls, beta: float | None) -> tuple[str, ...]:
        """Names of all scores that it can give; β is None where there is no posterior."""
        return DETERMINISTIC_SCORES if beta is None else VARIATIONAL_SCORES

    @abstractmethod
    def raw(self, name: str, look: Look) -> Tensor:
        """A map before it is read, ``(B, h, w)`` on a grid of the network's; it need not be positive."""

    def normal_name(self, name: str) -> str:
        """Under which raw maps of training normals are kept; other options that make other raw maps have another."""
        return f"normal {name}"

    def normals_of(self, name: str, look: Look) -> dict[str, Tensor]:
        """What is kept of a look at training normals for a map, ``(B, h, w)`` each, by ``normal_name``."""
        return {self.normal_name(name): self.raw(name, look)}

    def learn(
        self, network: LogitAutoencoder, batches: Iterable[tuple[Tensor, Tensor | None]]
    ) -> dict[str, np.ndarray]:
        """Keep the raw maps of some training normals; see ``Scoring.learn``.

        What is kept is not read yet, so that sign, centring, smoothing and scaling can be changed on a fitted model.
        """
        kept: defaultdict[str, list[Tensor]] = defaultdict(list)
        insides = []
        for images, inside in some(batches, NORMALS):
            look = self._look(network, images, inside, self.map_names)
            for name in self.map_names:
                for key, maps in self.normals_of(name, look).items():
                    kept[key].append(maps.detach().half().cpu())
            everywhere = torch.ones_like(images[:, 0], dtype=torch.bool)
            insides.append((everywhere if inside is None else inside).cpu())
        self.learned |= {key: torch.cat(maps).numpy() for key, maps in kept.items()}
        self.learned[NORMAL_INSIDE] = torch.cat(insides).numpy()
        return self.learned

    def __call__(self, network: LogitAutoencoder, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``; see ``Scoring``."""
        look = self._look(network, images, inside, self.map_names)
        maps = {name: self._read(name, look) for name in self.map_names}
        scores = {name: self.score(name, look, maps) for name in self.names}
        return Scored(scores, maps, look.reconstruction)

    def used(self, network: LogitAutoencoder) -> list[nn.Module]:
        """See ``Scoring.used``: all but the critic; the encoder alone where its map is enough."""
        encoding = [network.encoder, network.mean, *([network.logvar] if network.logvar else [])]
        from_map = self.names[0].startswith("map-") and self.map_names[0] in self.differentiated
        return encoding if from_map else [*encoding, network.decoder]

    def deciding(self, network: LogitAutoencoder, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``, with no gradient that it does not need."""
        score = self.names[0]
        names = self.map_names[:1] if score.startswith("map-") else ()
        look = self._look(network, images, inside, names)
        return self.score(score, look, {name: self._read(name, look) for name in names})

    def score(self, name: str, look: Look, maps: dict[str, Tensor]) -> Tensor:
        """A score ``(B,)`` of images, of those that are named in the class's description."""
        if name.startswith("map-"):
            return map_score(name, maps[self.map_names[0]], look.inside)
        if name in ("mse", "bce"):
            return reconstruction_error(look.images, look.logits, "l2" if name == "mse" else name)
        mean, logvar = look.posterior
        assert logvar is not None, "this score is of a posterior"
        kl = gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE))
        if name == "kl" or self.beta is None:
            return kl
        return reconstruction_error(look.images, look.logits, "bce") + self.beta * kl / mean.shape[1]

    def _look(self, network: LogitAutoencoder, images: Tensor, inside: Tensor | None, names: Sequence[str]) -> Look:
        return Look(network, images, inside, differentiable=not self.differentiated.isdisjoint(names))

    def _read(self, name: str, look: Look) -> Tensor:
        """A map ``(B, H, W)`` as it is shown and evaluated."""
        raw = grown(self.raw(name, look).detach(), look.images.shape[2:])
        return inside_only(self._reading(name)(raw, look.inside), look.inside)

    def _reading(self, name: str) -> MapReading:
        """The reading, with the normals that its scale comes from."""
        reading = self._readings[name]
        if reading.needs_normals and reading.normal is None:
            if self.normal_name(name) not in self.learned:
                raise ModelError(
                    f"scoring.scaling={reading.scaling} needs what fitting learned of the training normals; "
                    "fit again, or set it to none"
                )
            inside = torch.from_numpy(self.learned[NORMAL_INSIDE].astype(bool))
            maps = grown(torch.from_numpy(self.learned[self.normal_name(name)]).float(), inside.shape[1:])
            reading.normal = NormalMaps(maps, inside)
        return reading


def grown(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(B, h, w)`` on another grid ``(B, H, W)``."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    # Autocast would carry it out in bfloat16.
    with torch.autocast(maps.device.type, enabled=False):
        return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=True)[:, 0]


def some(batches: Iterable[tuple[Tensor, Tensor | None]], most: int) -> Iterable[tuple[Tensor, Tensor | None]]:
    """At most so many of the images, evenly chosen, in batches."""
    count = sum(len(images) for images, _ in batches)
    chosen = torch.from_numpy(np.unique(np.linspace(0, count - 1, most).astype(int)))
    begun = 0
    for images, inside in batches:
        rows = chosen[(chosen >= begun) & (chosen < begun + len(images))] - begun
        begun += len(images)
        if len(rows):
            rows = rows.to(images.device)
            yield images[rows], None if inside is None else inside[rows]
