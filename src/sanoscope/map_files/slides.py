"""Placeholder until SLIDE-OUT writes it."""
def write_slide(name, cases, maps, indices, folder, scores, abnormal): raise NotImplementedError
