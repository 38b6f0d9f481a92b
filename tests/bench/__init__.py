"""What the system costs, each figure beside its limit and measured in turns with its denominator."""
