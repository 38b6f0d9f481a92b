"""What people may do with orders, in any order: lives to be lived, drawn by hypothesis.

A step names who does what; whether the moment allows it is the services' to say. A life that shrinks loses its steps
and becomes plain.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

PRICES = (1, 333, 1000, 2999)
UNITS = 3
MODES = ("ON_ACCEPTANCE", "AT_ONCE", "ON_SHIPMENT", "MANUAL")
METHODS = (
    "ok",
    "requires_action",
    "expiring",
    "declined",
    "silent_after",
    "late_webhook",
    "duplicate_webhook",
    "slow",
)
# In millionths of the order: nothing fancy, a third that does not divide, and all of it.
PARTS = (10_000, 333_333, 500_000, 1_000_000)
COUPONS = (0, 333_333, 1_000_000)
PROCESSES = ("order", "payment", "catalog", "sandbox")


@dataclass(frozen=True)
class Step:
    """One thing that somebody does: `unit` counts units, or tenths of a second; `part` is in millionths, 0 for all."""

    what: str
    unit: int = 0
    part: int = 0
    yes: bool = True


@dataclass(frozen=True)
class Life:
    """An order as it is placed, and what people then do with it, one after the other."""

    mode: str = "ON_ACCEPTANCE"
    method: str = "ok"
    lines: tuple[tuple[int, int], ...] = ((1000, 1),)
    coupon: int = 0
    fee: int = 0
    taxed: bool = False
    # Whoever is hasty does not wait until the payment is decided.
    hasty: bool = False
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Kill:
    """A process that dies so many tenths of a second after the first order was placed."""

    code: str
    tenths: int


_units = st.integers(0, UNITS)
_parts = st.sampled_from(PARTS)
_yes = st.booleans()
# The way to the door, and back.
_WAY = (
    st.just(Step("accept")),
    st.builds(Step, st.just("ship"), unit=_units),
    st.builds(Step, st.just("ship"), unit=_units),
    st.just(Step("deliver")),
    st.builds(Step, st.just("take back"), unit=_units, yes=_yes),
    st.builds(Step, st.just("take back"), unit=_units, yes=_yes),
)
# What else may happen, at any time.
_ELSE = st.one_of(
    st.just(Step("rest")),
    st.builds(Step, st.just("wait"), unit=st.sampled_from((1, 5, 25))),
    st.builds(Step, st.just("refund"), part=_parts),
    st.builds(Step, st.just("capture"), part=_parts, yes=_yes),
    st.builds(Step, st.just("dispute"), part=_parts),
    st.builds(Step, st.just("decide"), yes=_yes),
    st.just(Step("void")),
    st.just(Step("cancel")),
    st.just(Step("again")),
    st.builds(Step, st.just("ship"), unit=_units),
    st.builds(Step, st.just("take back"), unit=_units, yes=_yes),
    st.builds(Step, st.just("answer"), yes=_yes),
)


@st.composite
def _steps(draw: st.DrawFn) -> tuple[Step, ...]:
    """Some of the way to the door, and between its steps whatever else comes up."""
    found: list[Step] = []
    for step in _WAY[: draw(st.integers(0, len(_WAY)))]:
        found += draw(st.lists(_ELSE, max_size=2))
        found.append(draw(step))
    return (*found, *draw(st.lists(_ELSE, max_size=3)))


lives = st.builds(
    Life,
    mode=st.sampled_from(MODES),
    method=st.sampled_from(METHODS + ("ok",) * 6),
    lines=st.lists(st.tuples(st.sampled_from(PRICES), st.integers(1, UNITS)), min_size=1, max_size=2).map(
        tuple
    ),
    coupon=st.sampled_from(COUPONS),
    fee=st.sampled_from((0, 490)),
    taxed=_yes,
    hasty=_yes,
    steps=_steps(),
)
kills = st.lists(st.builds(Kill, st.sampled_from(PROCESSES), st.integers(0, 30)), max_size=1).map(tuple)
