"""How much a file may ask for: sizes are checked against these before anything is decoded or allocated.

A header can lie, and a few bytes can be compressed gigabytes. Whatever a file says, an image has no more than PIL's
limit of pixels (89 million) and ``LARGEST_IMAGE_BYTES``, a volume no more than ``LARGEST_BYTES``, and while it is
decoded it takes at most ten times its own bytes: codecs keep four or more for each sample.
"""

from __future__ import annotations

# Bytes of voxels in a file: a CT of 1024³ voxels has half of it, a damaged header would have any number.
LARGEST_BYTES = 4 * 2**30
# Bytes of pixels in one image or frame: a mammogram has 30 MB; larger pictures are slides.
LARGEST_IMAGE_BYTES = 2**30
# Deflate cannot make anything smaller than this (zlib's technical details), so that a small file cannot hold more.
SMALLEST_RATIO = 1032
# Slices along an axis of a volume, each of which can become a case: NIfTI-1 counts to half of it.
MOST_SLICES = 65_535
