"""Pixels made comparable: foreground, crop, resize and intensity, learned from training normals only."""
