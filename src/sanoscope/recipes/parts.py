"""The parts that many recipes share, with defaults that a recipe overrides where its paper says otherwise."""

from __future__ import annotations

from dataclasses import replace

from sanoscope.recipe import Option, Part

DATA = Part(
    "sanoscope.cases.selection:TrainingSelection",
    {
        "fraction": Option(1.0, "share of the training normals that is used", "all there is", minimum=0),
        "include_abnormal": Option(
            False, "train on abnormal images too", "the method learns from normals; one published notebook used both"
        ),
        "holdout": Option(
            0.1,
            "share of the training normals held out for the threshold where no validation cases are given",
            "the paper's share",
            minimum=0,
        ),
        "axis": Option(
            "axial",
            "anatomical axis that volumes are sliced across",
            "the localisation papers use axial slices",
            choices=("axial", "coronal", "sagittal"),
        ),
        "slices": Option(
            "all",
            "slices of each volume or numbered series: all, central:N, or start:stop such as 20:-20",
            "nothing is lost; the localisation papers leave out the ends",
        ),
        "modality": Option(
            "flair",
            "which image of a case is read, where a collection has several",
            "tumours show best on it; what the constrained-attention paper uses",
            choices=("flair", "t1", "t1ce", "t2"),
        ),
        "view": Option(
            "all",
            "which chest X-rays are read, where a collection tells: all, from behind (PA) or from the front (AP)",
            "nothing is lost; the deep perceptual autoencoder's paper learns each view by itself",
            choices=("all", "PA", "AP"),
        ),
        "identity": Option(
            "pseudonym",
            "what the subjects of DICOM files are called: pseudonym, or patient-id as in the files",
            "who a patient is, is nobody's business in a result",
            choices=("pseudonym", "patient-id"),
        ),
        "tile_size": Option(
            256, "width and height of the tiles of a slide, in pixels", "the usual tile of slide viewers", minimum=16
        ),
        "magnification": Option(
            10.0,
            "magnification that tiles of a slide are read at",
            "cells and glands both show; what the deep perceptual autoencoder's paper uses",
            minimum=0.01,
        ),
        "objective": Option(
            0.0,
            "magnification of a slide's level 0 where it does not tell; 0 refuses it",
            "a guess would mislead",
            minimum=0,
        ),
        "tissue": Option(
            "otsu",
            "how tissue is found on slides: otsu, camelyon16 (cells of 768 pixels at level 0), or none for every tile",
            "glass is not worth judging; camelyon16 is the deep perceptual autoencoder paper's protocol",
            choices=("otsu", "camelyon16", "none"),
        ),
        "least_tissue": Option(
            0.5, "share of a tile that must be tissue", "edges of the tissue would look abnormal", minimum=0
        ),
        "tiles": Option(
            "all",
            "tiles of each slide: all, or random:N of those with tissue",
            "nothing is lost; the deep perceptual autoencoder's paper draws up to 50",
        ),
        "least_abnormal": Option(
            0.0,
            "share of abnormal pixels that a subject must exceed to be evaluated; 0 is off",
            "it looks at the labels of the evaluated data; the constrained-attention paper's code uses 0.001",
            minimum=0,
        ),
    },
)

PREPARATION = Part(
    "sanoscope.preparation.preparation:Preparation",
    {
        "image_size": Option(
            64, "height and width that the network sees, in pixels", "two cores can train at it", minimum=8
        ),
        "interpolation": Option(
            "bicubic", "how images are resized", "keeps edges", choices=("bicubic", "bilinear", "area")
        ),
        "channels": Option(
            "native",
            "channels as in the files, or made grey or RGB",
            "nothing is lost",
            choices=("native", "grey", "rgb"),
        ),
        "stain": Option(
            "none",
            "give every image the stains of one target, found after Macenko et al. or Vahadane et al.",
            "not every image is stained; the deep perceptual autoencoder's paper takes Vahadane's for slides",
            choices=("none", "macenko", "vahadane"),
        ),
        "stain_target": Option(
            "training",
            "that target: an image file, read when the model is fitted; or training, for the most typical of up to 64 "
            "training normals",
            "whoever has no slide at hand that is well stained needs none; the deep perceptual autoencoder's paper has "
            "one",
        ),
        "window": Option(
            "none",
            "look at the values of a window only: CENTRE/WIDTH such as 40/400, or file for each DICOM file's own",
            "a value beyond a window is a finding; CT of soft parts is looked at through 40/400",
        ),
        "foreground": Option(
            "none",
            "what counts as body or tissue: everything, pixels above zero, above/below Otsu's threshold, the largest "
            "bright region with its holes, or that without its surface where skull and scalp are not stripped; but for "
            "none, a foreground file that comes with the image is taken instead",
            "tissue patches are all foreground",
            choices=("none", "nonzero", "bright", "dark", "body", "brain"),
        ),
        "peel": Option(
            0.055,
            "depth of scalp and skull, as a share of the image's longer side; for foreground=brain",
            "14 of 256 pixels, where on brain slices with skulls their bright rim ends",
            minimum=0,
        ),
        "crop": Option(
            "none",
            "which part of the image is used",
            "nothing is lost",
            choices=("none", "centre", "square", "foreground"),
        ),
        "crop_size": Option(
            0, "side of the centre crop, in pixels of the file; 0 takes the share", "files differ in size", minimum=0
        ),
        "crop_share": Option(
            1.0, "side of the centre crop, as a share of the shorter side", "needed with crop=centre only", minimum=0
        ),
        "random_crop": Option(
            0,
            "side in pixels of the file of the centred square that training takes random crops from; with crop=centre "
            "and crop_size; 0 is off",
            "few images have room for it; the deep perceptual autoencoder's paper takes 64 of 192 pixels of tissue",
            minimum=0,
        ),
        "equalisation": Option(
            "none",
            "histogram equalisation of the cropped image, before it is resized",
            "how bright an image is may be a finding; the deep perceptual autoencoder's paper does it for AP views",
            choices=("none", "histogram"),
        ),
        "intensity": Option(
            "symmetric",
            "[0, 1], [-1, 1], zero mean and unit variance, [0, 1] between two percentiles, divided by the maximum, "
            "the foreground's median at 0.4 and its interquartile range 0.1 wide, or zero mean and unit mean absolute "
            "value, then [0, 1] by the range of training normals",
            "outputs end in Tanh",
            choices=("unit", "symmetric", "z-score", "percentiles", "maximum", "robust", "contrast"),
        ),
        "statistics": Option(
            "training",
            "z-score, percentiles and maximum of all training normals, of each image, or of a slice's volume",
            "keeps how bright an image is",
            choices=("training", "image", "volume"),
        ),
        "percentiles": Option((1.0, 99.0), "lower and upper percentile", "robust to single hot pixels", minimum=0),
        "clip": Option(0.0, "limit of prepared values; 0 is off", "values out of range are findings too", minimum=0),
        "matching": Option(
            "none",
            "give every image's foreground the histogram of one training slice",
            "staining and disease change histograms too",
            choices=("none", "histogram"),
        ),
        "least_foreground": Option(
            0.0, "leave out training images with a smaller share of foreground", "nothing is lost", minimum=0
        ),
        "erosion": Option(
            0,
            "side of the square by which the foreground of maps is eroded, in pixels of the network; 0 is off",
            "patches have no edge to keep off",
            minimum=0,
        ),
        "augmentation": Option(
            "none",
            "random changes of training images: mirrored left to right and top to bottom; or those of the β-VAE paper "
            "with noise by its variances, or -released with the same numbers as deviations, as its code takes them",
            "the histopathology paper has none",
            choices=("none", "flips", "mri-slices", "mri-slices-released"),
        ),
    },
)

TRAINING = Part(
    "sanoscope.training.plain:PlainTraining",
    {
        "epochs": Option(50, "passes over the training normals", "enough for small collections", minimum=1),
        "max_iterations": Option(
            0, "steps after which training ends, if before all epochs; 0 is never", "epochs say how long", minimum=0
        ),
        "batch_size": Option(100, "images in a step", "fills the arithmetic units of a CPU", minimum=2),
        "drop_last": Option(
            False, "leave out an epoch's last batch where it is not full", "every image counts in every epoch"
        ),
        "optimizer": Option("adamw", "update rule", "the customary one", choices=("adamw", "adam")),
        "learning_rate": Option(1e-3, "step size at the start", "the customary one of Adam", minimum=0),
        "schedule": Option(
            "constant",
            "step size over the training: constant, or down to 0 along a cosine, of all of it or its second half",
            "the papers have constant ones",
            choices=("constant", "cosine", "late-cosine"),
        ),
        "weight_decay": Option(1e-4, "of the optimiser", "hardly any", minimum=0),
        "fresh_optimizer_at": Option(
            0, "epoch that starts with forgotten moments; 0 is never", "one optimiser throughout", minimum=0
        ),
        "early_stopping": Option(
            0,
            "epochs without a better validation loss before stopping; 0 trains to the end",
            "the papers keep the last epoch's weights",
            minimum=0,
        ),
        "average": Option(
            0.0,
            "keep a moving average of the weights with this decay per step, such as 0.99; 0 keeps the last weights",
            "the papers keep the last weights",
            minimum=0,
        ),
        "precision": Option(
            "auto",
            "auto takes bfloat16 where the processor has units for it",
            "about 1.5 times as fast; see the benchmarks",
            choices=("auto", "float32", "bfloat16"),
        ),
        "compile": Option(False, "compile the forward pass", "takes a minute, so only long trainings gain"),
    },
)

DECISION = Part(
    "sanoscope.decision:DecisionPolicy",
    {
        "rule": Option(
            "auto",
            "Youden's J where validation has both labels, else a quantile of its normals",
            "the histopathology paper's rule where it can be had",
            choices=("auto", "youden", "quantile"),
        ),
        "target_false_positive_rate": Option(
            0.05, "share of normals that the quantile may call abnormal", "the customary level", minimum=0
        ),
        "map_percentiles": Option(
            (85.0, 90.0, 95.0, 98.0),
            "percentiles of training normals' maps that are thresholds for pixels, whole numbers",
            "those of the constrained-attention paper",
            minimum=0,
        ),
        "map_threshold": Option(
            0.0, "a fixed threshold for pixels; 0 is none", "few maps have a scale of their own", minimum=0
        ),
    },
)

OTHER_SCORES = Option("all", "other scores computed beside it", "they cost little", choices=("all", "none"))
SCORING_PRECISION = Option(
    "float32",
    "arithmetic of scoring; auto takes bfloat16 where the processor has units for it",
    "the same scores on every machine",
    choices=("auto", "float32", "bfloat16"),
)
# Scores that weigh the KL term do so as the training did.
BETA_OF_TRAINING = {"beta": "objective.beta"}

RECONSTRUCTION_SCORING = Part(
    "sanoscope.scoring.reconstruction:ReconstructionScoring",
    {
        "score": Option(
            "mse", "the score that decides", "sees where pixels differ", choices=("wasserstein", "mse", "elbo", "kl")
        ),
        "also": OTHER_SCORES,
        "latent": Option(
            "mean", "posterior mean, or a seeded sample of it", "no noise in the score", choices=("mean", "sample")
        ),
        "samples_seed": Option(0, "seed of the sampled latents", "any would do", minimum=0),
        "precision": replace(
            SCORING_PRECISION, source="the same scores on every machine; bfloat16 moves them by up to 2 %"
        ),
    },
    given=BETA_OF_TRAINING,
)


POSTPROCESSING = Part(
    "sanoscope.scoring.postprocessing:Postprocessing",
    {
        "prior": Option(
            0.0,
            "keep maps only where the image is at or above this quantile of its foreground, such as 0.9; 0 is off",
            "lesions need not be bright",
            minimum=0,
        ),
        "median": Option(
            "none",
            "replace each pixel by the median of the square around it, 2d, or of the cube, 3d, where slices of a "
            "volume or numbered series are neighbours",
            "the constrained-attention paper filters nothing; the comparison study of Baur et al. takes 3d",
            choices=("none", "2d", "3d"),
        ),
        "median_size": Option(
            5,
            "side of that square or cube, in pixels of the network and in slices; odd",
            "5×5×5 in the comparison study of Baur et al.",
            minimum=3,
        ),
        "least_area": Option(
            0,
            "drop bright regions of fewer pixels, or voxels with median=3d, at every threshold alike; 0 is off",
            "small lesions count; the released code of the comparison study drops up to 7 voxels",
            minimum=0,
        ),
    },
)


def sourced(part: Part, source: str, **defaults: object) -> Part:
    """The part with other defaults that all come from one source."""
    return part.updated(
        **{name: replace(part.options[name], default=value, source=source) for name, value in defaults.items()}
    )
