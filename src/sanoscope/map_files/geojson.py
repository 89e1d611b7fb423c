"""Placeholder until SLIDE-OUT writes it."""
def write_image_geojson(case, maps, index, folder): raise NotImplementedError
