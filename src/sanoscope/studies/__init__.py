"""Studies: many recipes, folds and seeds on collections, brought into one table; the papers' tables among them."""
