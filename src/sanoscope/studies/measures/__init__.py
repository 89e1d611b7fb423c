"""What is measured of a job, one module a measure."""
