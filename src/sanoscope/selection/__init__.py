"""Choose the settings of a recipe: by a few known anomalies, or by normals alone."""
