"""What every service stands on; it knows no service.

Importing this package sets what gRPC must find in the environment before it is imported itself.
"""

import os

# The event engine costs half as much CPU again a call in this release of gRPC.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
