"""Batch norm folded into the convolution before it: the same function in evaluation mode, with less to do."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sanoscope.networks.resnet import BasicBlock, WideBottleneck

Network = TypeVar("Network", bound=nn.Module)

# Modules whose children compute one after the other, as far as a convolution and the batch norm after it go.
IN_ORDER = (nn.Sequential, BasicBlock, WideBottleneck)


def folded(network: Network) -> Network:
    """A copy of a trained network in evaluation mode, with every batch norm of a sequence or block folded away.

    Outputs agree with the original's to float32 rounding; the copy cannot be trained on.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, IN_ORDER):
            _fold_children(module)
    return network


def _fold_children(module: nn.Module) -> None:
    for (name, layer), (norm_name, norm) in pairwise(list(module._modules.items())):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(layer, nn.ConvTranspose2d)
            setattr(module, name, fuse_conv_bn_eval(layer, norm, transpose=transposed))
            setattr(module, norm_name, nn.Identity())
