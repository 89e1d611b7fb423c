"""From a trained model to image scores and pixel maps: knows neither file formats nor thresholds."""
