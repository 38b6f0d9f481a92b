"""A payment provider to develop and test against: an outside company, sharing no code with us."""
