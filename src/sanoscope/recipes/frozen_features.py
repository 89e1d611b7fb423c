"""Methods that learn in closed form what a frozen network's features of normal images are like.

Bergman, Cohen, Hoshen: Deep nearest neighbor anomaly detection (arXiv:2002.10445). Defard, Setkov, Loesch, Audigier:
PaDiM (arXiv:2011.08785). Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards total recall in industrial anomaly
detection (PatchCore, arXiv:2106.08265). None of them trains a weight: one pass over the normals, and they are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import (
    DATA,
    DECISION,
    OTHER_SCORES,
    POSTPROCESSING,
    PREPARATION,
    SCORING_PRECISION,
    sourced,
)
from sanoscope.search_space import Choices, Dimension

PAPERS = "the methods' papers"
OURS = "a few seconds on two cores; the preset has the paper's"

_SIZED = sourced(PREPARATION, OURS, image_size=128)
_UNCHANGED = "features are of the images as they are"
# Of images for a frozen network that is not trained on: prepared alike, and not changed at random.
PREPARATION_OF_FEATURES = sourced(_SIZED, PAPERS, interpolation="bilinear").updated(
    intensity=Option("symmetric", "[-1, 1], from which features take their input", PAPERS, choices=("symmetric",)),
    augmentation=Option("none", "no random changes of training images", _UNCHANGED, choices=("none",)),
    random_crop=Option(0, "no random crops of training images", _UNCHANGED, choices=(0,)),
)

# A frozen network by itself; what learns of it gives the part a target of its own that remembers what was learned.
EMBEDDING = Part(
    "sanoscope.networks.embedding:Embedding",
    {
        "features": Option(
            "resnet18",
            "frozen network that features are taken of",
            PAPERS,
            choices=(
                *("vgg19", "vgg16", "vgg11_bn", "resnet18", "resnet34", "wide_resnet50_2"),
                *("squeezenet1_1", "inception_resnet_v2"),
            ),
        ),
        "layers": Option(
            ("level4",),
            "its layers: level1 to level4 are of like depth in every network (conv1 and layer1 to layer3 of "
            "ResNet-18); or their own names, such as r42",
            "on validation sets better than those before it; the paper's, ResNet's last, is in the preset",
        ),
        "weights": Option(
            None, "local file of its weights; none loads them by name", "the published ones are known by name", kind=str
        ),
        "pretrained": Option(True, "false keeps the weights random", PAPERS),
    },
)


def _remembering(what: str) -> Part:
    """The embedding that remembers neighbours, Gaussians or patches."""
    return EMBEDDING.extended(f"sanoscope.networks.embedding:with_{what}")


_SMOOTHING = Option(
    0.018,
    "Gaussian over the map, its σ as a share of the image's side; 0 is off",
    "4 of 224 pixels, as in the paper",
    minimum=0,
)


_NOTES = (
    "Weights of the feature network are loaded by name; without a network connection give network.weights a file.",
)
_PAPER: Mapping[str, Any] = {
    "preparation.image_size": 224,
    "preparation.crop": "centre",
    "preparation.crop_share": 0.875,
}


def _recipe(
    name: str,
    title: str,
    paper: str,
    network: Part,
    training: Part,
    scoring: Part,
    notes: tuple[str, ...],
    search: Mapping[str, Dimension],
    preset: Mapping[str, Any] | None = None,
    says_where: bool = True,
) -> Recipe:
    parts = {
        "data": DATA,
        "preparation": PREPARATION_OF_FEATURES,
        "network": network,
        "training": training,
        "scoring": scoring,
        "decision": DECISION,
    }
    if says_where:
        parts["postprocessing"] = POSTPROCESSING
    return Recipe(
        name, title, paper, parts, (*notes, *_NOTES), presets={"paper": {**_PAPER, **(preset or {})}}, search=search
    )


DEEP_KNN = _recipe(
    "deep-knn",
    "Deep nearest neighbours",
    "Bergman, Cohen, Hoshen: Deep nearest neighbor anomaly detection",
    _remembering("neighbours"),
    Part(
        "sanoscope.training.neighbours:NeighbourTraining",
        {
            "most_images": Option(
                50_000,
                "training images whose features are remembered; of more, so many at random",
                "50 MB of ResNet-18's features, and a millisecond for an image to be compared with them",
                minimum=2,
            ),
        },
    ),
    Part(
        "sanoscope.scoring.neighbours:NeighbourScoring",
        {
            "score": Option(
                "mean-distance",
                "the score that decides: mean or largest distance of the nearest, or the nearest one's",
                "paper",
                choices=("mean-distance", "largest-distance", "nearest-distance"),
            ),
            "also": OTHER_SCORES,
            "neighbours": Option(2, "how many training images are compared with", "paper", minimum=1),
            "distance": Option(
                "euclidean",
                "between features as they are, divided by their deviations among training normals, or of length 1",
                "paper",
                choices=("euclidean", "standardised", "cosine"),
            ),
            "precision": SCORING_PRECISION,
        },
    ),
    (
        "A training image is its own nearest neighbour, so that its score says nothing.",
        "The paper takes a ResNet-101, which is not among the networks; the preset has the last layer of ResNet-18.",
    ),
    {
        "network.layers": Choices((("level2",), ("level3",), ("level4",), ("level3", "level4"))),
        "scoring.distance": Choices(("euclidean", "standardised", "cosine")),
        "scoring.neighbours": Choices((1, 2, 5, 10)),
        "preparation.image_size": Choices((64, 128, 224)),
    },
    {"network.layers": ("layer4",)},
    says_where=False,
)

PADIM = _recipe(
    "padim",
    "PaDiM",
    "Defard, Setkov, Loesch, Audigier: PaDiM: a patch distribution modeling framework",
    sourced(_remembering("gaussians"), "paper: three blocks of ResNet-18", layers=("level2", "level3", "level4")),
    Part(
        "sanoscope.training.gaussians:GaussianTraining",
        {
            "channels": Option(
                100, "channels that are drawn at random, all of them where there are no more", "paper", minimum=1
            ),
            "regularisation": Option(0.01, "added to the variances", "paper", minimum=1e-6),
            "most_gigabytes": Option(
                2.0,
                "memory that sums for covariances may take; what needs more is refused",
                "100 channels take 0.08 GB at 128 pixels and 0.3 GB at 256; the model takes half of that",
                minimum=0,
            ),
        },
    ),
    Part(
        "sanoscope.scoring.mahalanobis:MahalanobisScoring",
        {
            "score": Option(
                "map-max",
                "the score that decides: maximum or mean of the map",
                "paper",
                choices=("map-max", "map-mean"),
            ),
            "also": OTHER_SCORES,
            "smoothing": _SMOOTHING,
            "precision": SCORING_PRECISION,
        },
    ),
    (
        "Images must show the same thing at the same place, as Gaussians are of places.",
        "The preset paper is the smaller of its two networks; of wide_resnet50_2 it draws 550 channels.",
    ),
    {
        "network.layers": Choices((("level2", "level3", "level4"), ("level3", "level4"), ("level4",))),
        "scoring.score": Choices(("map-max", "map-mean")),
        "preparation.image_size": Choices((64, 128, 224)),
    },
)

PATCHCORE = _recipe(
    "patchcore",
    "PatchCore",
    "Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards total recall in industrial anomaly detection",
    sourced(_remembering("patches"), "paper: the second and third block of ResNets", layers=("level3", "level4")),
    Part(
        "sanoscope.training.patches:PatchTraining",
        {
            "neighbourhood": Option(
                3, "side of the square of places that features are averaged over", "paper", choices=(1, 3, 5, 7)
            ),
            "share": Option(
                0.1,
                "share of the places looked at that is remembered",
                "paper, also 0.01, which misses more",
                minimum=0,
            ),
            "most_places": Option(
                100_000,
                "places that are looked at; where there are more, as many of each image, at random",
                "0.15 GB of ResNet-18's features, however many images there are",
                minimum=2,
            ),
            "most_patches": Option(
                4000,
                "places that are remembered, at most",
                "choosing them takes as long as the features of 1,200 images, and scoring twice as long",
                minimum=1,
            ),
            "projection": Option(
                128,
                "dimensions of the random projection that they are chosen in; 0 takes all",
                "paper; a third of the time",
                minimum=0,
            ),
        },
    ),
    Part(
        "sanoscope.scoring.patches:PatchScoring",
        {
            "score": Option(
                "reweighted",
                "the score that decides: that of the farthest place, by the paper's weights, or of the map",
                "paper",
                choices=("reweighted", "map-max", "map-mean"),
            ),
            "also": OTHER_SCORES,
            "neighbours": Option(
                9, "remembered places that weigh the farthest one's distance", "the authors' and anomalib's", minimum=2
            ),
            "smoothing": _SMOOTHING,
            "precision": SCORING_PRECISION,
        },
        given={"neighbourhood": "training.neighbourhood"},
    ),
    ("The preset paper remembers at most 25,000 of 250,000 places: 0.15 GB, and 1.5 GB while it learns.",),
    {
        "network.layers": Choices((("level2", "level3"), ("level3", "level4"), ("level4",))),
        "scoring.score": Choices(("reweighted", "map-max", "map-mean")),
        "training.neighbourhood": Choices((1, 3, 5)),
        "preparation.image_size": Choices((64, 128, 224)),
    },
    {
        "network.features": "wide_resnet50_2",
        "training.most_places": 250_000,
        "training.most_patches": 25_000,
    },
)

RECIPES = (DEEP_KNN, PADIM, PATCHCORE)
