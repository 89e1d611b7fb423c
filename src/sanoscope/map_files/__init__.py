"""Maps as files for other programs, on the grid of what they are of: images, volumes, DICOM series, slides."""
