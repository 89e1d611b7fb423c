"""Neural networks, nothing else: modules that know neither files nor losses."""
