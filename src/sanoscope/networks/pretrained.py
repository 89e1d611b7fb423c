"""Published ImageNet weights, by name with a hash check or from a local file."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor, nn

from sanoscope.errors import ModelError

# torchvision's files; the eight digits are the start of their SHA-256, which the download is checked against.
URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
}


def load_pretrained(trunk: nn.Module, name: str, file: str | None, option: str) -> None:
    """Fill a backbone with published weights; its classifier, if the file has one, is left out.

    Args:
        trunk: The module, with torchvision's parameter names.
        name: A key of ``URLS``.
        file: A local file in torchvision's naming; None downloads, once, into torch's own cache.
        option: The prefix of the options that lead here, for messages.

    Raises:
        ModelError: If the file is missing, is none of weights, or does not fit; or if it cannot be downloaded.
    """
    weights = _read(Path(file)) if file else _download(name, option)
    weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    try:
        trunk.load_state_dict(weights)
    except RuntimeError as error:
        difference = shorten(str(error).partition("\n")[2], 160)
        raise ModelError(
            f"{file or URLS[name]}: does not hold the weights of {name} in torchvision's naming "
            f"({difference}); set {option}.weights to a file that does"
        ) from error


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


def _download(name: str, option: str) -> dict[str, Tensor]:
    url = URLS[name]
    try:
        weights: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, progress=False, weights_only=True
        )
    except OSError as error:  # URLError among them
        raise ModelError(
            f"the ImageNet weights of {name} cannot be downloaded from {url} ({error}); set {option}.weights to a "
            f"local copy of the file, or {option}.pretrained=false to start from random weights"
        ) from error
    except Exception as error:  # a wrong hash, or any of torch's errors for a damaged file in its cache
        raise ModelError(
            f"{url}: what was downloaded is not the published file ({shorten(str(error), 160)}); delete it "
            f"from {torch.hub.get_dir()}/checkpoints, where it is kept, and try again"
        ) from error
    return weights
