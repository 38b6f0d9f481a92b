"""Rows of single calls: through the runtime, with PostgreSQL, and by REST."""

from commerce.order.v1.order_service_pb2 import GetOrderRequest

from services.cluster import tokens
from services.cluster.home import Home
from tests.bench import h2load, processes
from tests.bench.figures import Figure, Limit, number, spread
from tests.bench.h2load import Load
from tests.bench.house import House
from tests.bench.rounds import Compared, Run, compared
from tests.bench.served import ID

GET = "commerce.order.v1.OrderService/GetOrder"


class _Measured:
    """A load on one process, and the processor time that a call takes there."""

    def __init__(self, load: Load, pid: int, seconds: float) -> None:
        self._load, self._pid, self._seconds = load, pid, seconds
        self.micros: list[float] = []

    async def __call__(self) -> float:
        before = processes.cpu_seconds(self._pid)
        rate = await h2load.per_second(self._load, self._seconds)
        calls = rate * (self._seconds + h2load.WARM_UP_SECONDS)
        self.micros.append((processes.cpu_seconds(self._pid) - before) / calls * 1e6)
        return rate


async def runtime(house: House) -> list[Figure]:
    """An RPC through the whole runtime, beside the same messages on a bare server."""
    settings, token = _alone(house)
    address, pid = await house.serve("runtime", settings | await house.telemetry())
    limit = Limit(0.80, 0.88)
    return [
        await _beside_bare(
            house, "runtime", "RPC through the runtime / bare grpc.aio", address, pid, token, ID, limit
        )
    ]


def _alone(house: House) -> tuple[dict[str, str], str]:
    """Settings of a server that has nobody to ask, and a token that it takes."""
    home = Home(house.folder / "keys")
    home.prepare()
    unused = {f"COMMERCE_{name}": "none" for name in ("LISTEN", "DATABASE_URL", "NATS_URL", "SERVICE_TOKEN")}
    keys = {"COMMERCE_JWKS_FILE": str(tokens.publish(home, "development")), "COMMERCE_PAGE_KEY": "none"}
    return unused | keys, tokens.mint(home, "store_admin", ID) if tokens.key(home) else ""


async def traces(house: House) -> list[Figure]:
    """An RPC through the runtime, of which none, some or all are recorded, beside one that knows of no traces."""
    settings, token = _alone(house)
    told = settings | await house.telemetry()
    request, figures = GetOrderRequest(order_id=ID), []
    for share, limit in (
        (0.0, Limit(1.02, 1.0, True)),
        (0.1, Limit(1.05, 1.03, True)),
        (1.0, Limit(1.1, 1.05, True)),
    ):
        ours, theirs = [
            _Measured(
                h2load.grpc_load(address, GET, request, token, house.folder / "traces.bin"),
                pid,
                house.seconds,
            )
            for address, pid in (
                await house.serve("runtime", told | {"OTEL_TRACES_SAMPLER_ARG": str(share)}),
                await house.serve("runtime", told | {"OTEL_SDK_DISABLED": "true"}),
            )
        ]
        await compared(ours, theirs)
        least, other = min(ours.micros), min(theirs.micros)
        what = f"CPU of an RPC, {share:.0%} recorded / none known"
        figures.append(
            Figure(
                "traces", what, least / other, "×", limit, f"{number(least)} beside {number(other)} µs a call"
            )
        )
    return figures


async def get_order(house: House) -> list[Figure]:
    """GetOrder of the cluster's order process, with PostgreSQL, beside the bare server."""
    shop = await house.shop()
    cluster = await house.cluster()
    lines = [(await shop.product(), 1) for _ in range(3)]
    order_id = await shop.order(lines, until="CONFIRMED")
    address, pid = cluster.address("order"), cluster.process("order").pid or 0
    what, limit = "GetOrder with PostgreSQL / bare grpc.aio", Limit(0.45, 0.55)
    return [await _beside_bare(house, "get", what, address, pid, shop.token or "", order_id, limit)]


async def _beside_bare(
    house: House, row: str, what: str, address: str, pid: int, token: str, order_id: str, limit: Limit
) -> Figure:
    bare, bare_pid = await house.bare()
    request = GetOrderRequest(order_id=order_id)
    body = house.folder / f"{row}.bin"
    ours = _Measured(h2load.grpc_load(address, GET, request, token, body), pid, house.seconds)
    theirs = _Measured(h2load.grpc_load(bare, GET, request, token, body), bare_pid, house.seconds)
    found = await compared(ours, theirs)
    micros = f"CPU {number(min(ours.micros))} beside {number(min(theirs.micros))} µs a call"
    return Figure(row, what, found.ratio, "×", limit, f"{_rates(found)}; {micros}")


async def rest(house: House) -> list[Figure]:
    """GetOrder by REST through Envoy, beside the same call by gRPC: straight, and through Envoy too."""
    shop = await house.shop()
    cluster = await house.cluster()
    order_id = await shop.order(until="CONFIRMED")
    body = house.folder / "rest.bin"
    token, request = shop.token or "", GetOrderRequest(order_id=order_id)
    edge = cluster.gateway_url.removeprefix("http://")
    headers = {"authorization": f"Bearer {token}"}
    url = f"{cluster.gateway_url}/v1/orders/{order_id}"
    direct = _run(h2load.grpc_load(cluster.address("order"), GET, request, token, body), house.seconds)
    through = _run(h2load.grpc_load(edge, GET, request, token, body), house.seconds)
    rest = _run(Load(url, headers, clients=32, streams=1, http1=True), house.seconds)
    by_rest, by_grpc = await compared(rest, direct), await compared(through, direct, 3)
    return [
        Figure(
            "rest",
            "REST through Envoy / gRPC straight",
            by_rest.ratio,
            "×",
            Limit(0.75, 0.82),
            _rates(by_rest),
        ),
        Figure("rest", "gRPC through Envoy / gRPC straight", by_grpc.ratio, "×", None, _rates(by_grpc)),
    ]


def _run(load: Load, seconds: float) -> Run:
    async def run() -> float:
        return await h2load.per_second(load, seconds)

    return run


def _rates(found: Compared) -> str:
    return f"{spread(found.ours)} beside {spread(found.theirs)} calls/s, 32 at once"
