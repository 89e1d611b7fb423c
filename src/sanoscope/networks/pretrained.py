"""Published ImageNet weights, by name with a hash check or from a local file."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor, nn

from sanoscope.errors import ModelError

# torchvision's files, and timm's; the eight digits start their SHA-256, which the download is checked against.
URLS = {
    "alexnet": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "inception_resnet_v2": "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"
    "inception_resnet_v2-940b1cd6.pth",
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "squeezenet1_1": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    "vgg11_bn": "https://download.pytorch.org/models/vgg11_bn-6002323d.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "wide_resnet50_2": "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth",
}


def load_pretrained(trunk: nn.Module, name: str, file: str | None, option: str) -> None:
    """Fill a backbone with published weights; its classifier, if the file has one, is left out.

    Args:
        trunk: The module, with the published parameter names.
        name: A key of ``URLS``.
        file: A local file with the same names; None downloads, once, into torch's own cache.
        option: The prefix of the options that lead here, for messages.

    Raises:
        ModelError: If the file is missing, is none of weights, or does not fit; or if it cannot be downloaded.
    """
    or_else = f", or {option}.pretrained=false to start from random weights"
    weights = published_weights(name, file, option, or_else)
    weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    fill(trunk, weights, name, file, option)


def published_weights(name: str, file: str | None, option: str, or_else: str = "") -> dict[str, Tensor]:
    """Published weights by their published names.

    Args:
        name: As of ``load_pretrained``.
        file: As of ``load_pretrained``.
        option: As of ``load_pretrained``.
        or_else: What else than giving a file would do where they cannot be downloaded, for the message.

    Raises:
        ModelError: If the file is missing or is none of weights, or if it cannot be downloaded.
    """
    return _read(Path(file)) if file else _download(name, option, or_else)


def fill(trunk: nn.Module, weights: dict[str, Tensor], name: str, file: str | None, option: str) -> None:
    """Load a module with weights that must be its own, all of them and no others.

    Args:
        trunk: The module.
        weights: By its parameter names.
        name: As of ``load_pretrained``.
        file: Where they come from; None is the published file.
        option: As of ``load_pretrained``.

    Raises:
        ModelError: If they are not.
    """
    try:
        trunk.load_state_dict(weights)
    except RuntimeError as error:
        difference = shorten(str(error).partition("\n")[2], 160)
        raise ModelError(
            f"{file or URLS[name]}: does not hold the weights of {name} by their published names "
            f"({difference}); set {option}.weights to a file that does"
        ) from error


def module_after(weights: dict[str, Tensor], network: nn.Module) -> str | None:
    """The module that weights end before, where they are those of a network's first modules; else None."""
    held, needed = (
        [key for key in state if not key.endswith("num_batches_tracked")] for state in (weights, network.state_dict())
    )
    if held and len(held) < len(needed) and set(held) == set(needed[: len(held)]):
        return needed[len(held)].rpartition(".")[0]
    return None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise ModelError(f"{path}: cannot be read as weights ({type(error).__name__})") from error
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise ModelError(f"{path}: holds something other than a dictionary of tensors")
    return weights


def _download(name: str, option: str, or_else: str) -> dict[str, Tensor]:
    url = URLS[name]
    try:
        weights: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, progress=False, weights_only=True
        )
    except OSError as error:  # URLError among them
        raise ModelError(
            f"the ImageNet weights of {name} cannot be downloaded from {url} ({error}); set {option}.weights to a "
            f"local copy of the file{or_else}"
        ) from error
    except Exception as error:  # a wrong hash, or any of torch's errors for a damaged file in its cache
        raise ModelError(
            f"{url}: what was downloaded is not the published file ({shorten(str(error), 160)}); delete it "
            f"from {torch.hub.get_dir()}/checkpoints, where it is kept, and try again"
        ) from error
    return weights
