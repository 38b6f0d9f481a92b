"""How to add a gateway: Acme, a provider that nobody knows, whose gateway passes the kit like any other."""
