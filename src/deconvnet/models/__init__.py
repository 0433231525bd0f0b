"""Networks to look into: the paper's own, a small bundled one, and those of other packages."""
