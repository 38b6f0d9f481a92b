"""The embedded cluster: starts, watches and stops every process on one machine."""

# Sets what gRPC must find in the environment, before any module here imports it.
import services.runtime as runtime  # noqa: F401
