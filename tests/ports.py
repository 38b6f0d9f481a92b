"""Ports for what tests start themselves, claimed as a cluster claims its own.

One that the kernel chooses, and that is let go before it is used, may be anybody's by then: it is one of those from
which every connection gets its own end.
"""

import random

from services.cluster.ports import STEP, Ports

# Below those that the kernel gives away, above those of clusters.
FIRST = 21_000
# They stay ours until this process of tests ends.
_claimed = Ports()


def free_port() -> int:
    """A port on which nobody listens but who is told of it."""
    return _claimed.claim(FIRST + random.randrange(STEP))
