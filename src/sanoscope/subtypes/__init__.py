"""Groups in unlabelled images: latents, their clusters, and how far these match known classes."""
