"""Products, and how many units of each there are and are promised."""
