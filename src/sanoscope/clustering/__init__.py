"""Clusters of latents, their number and their names, how well they match classes, and how to show them.

Works on arrays alone: which images the rows are, and what model made them, is known elsewhere.
"""

from sanoscope.clustering.agreement import METRIC_LABELS, METRICS, classification, partition, silhouette
from sanoscope.clustering.clusterer import Clustering
from sanoscope.clustering.naming import NAMINGS, name_clusters
from sanoscope.clustering.settings import ALGORITHMS, COVARIANCES, SCALINGS, ClusterSettings

__all__ = [
    "ALGORITHMS",
    "COVARIANCES",
    "METRICS",
    "METRIC_LABELS",
    "NAMINGS",
    "SCALINGS",
    "ClusterSettings",
    "Clustering",
    "classification",
    "name_clusters",
    "partition",
    "silhouette",
]
