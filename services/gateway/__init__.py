"""The one door: Envoy, whose configuration is made from the contract's descriptors. No request code of ours."""
