"""`python -m services.cluster`: the console script without being installed."""

from services.cluster.cli import main

main()
