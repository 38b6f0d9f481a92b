"""What `commerce up` prints when all is ready: addresses, a token, calls to paste."""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from services.cluster import tokens
from services.cluster.home import Home

# For any shell of POSIX, and zsh: ${ORDER}:watch has braces because zsh would take :w for a modifier.
CALLS = """\
export PATH={programs}:"$PATH" COMMERCE_HOME={home}
export GATEWAY={gateway} STORE={store}
export TOKEN={token}

uuid() {{ python3 -c 'import uuid; print(uuid.uuid4())'; }}
field() {{ python3 -c "import json, sys; print(json.load(sys.stdin)['$1']['$2'])"; }}
call() {{ curl -sS -w '\\n' "$GATEWAY$2" -X "$1" -H "Authorization: Bearer $TOKEN" ${{3:+-d "$3"}}; }}

PRODUCT=$(call POST "/v1/stores/$STORE/products" '{{"sku": "TEA-'"$(uuid)"'", "name": "Green tea",
  "price": {{"currencyCode": "EUR", "minorUnits": "1999"}}, "requestId": "'"$(uuid)"'"}}' | field product productId)
call PUT "/v1/products/$PRODUCT/stock" '{{"quantity": 10, "requestId": "'"$(uuid)"'"}}'
CUSTOMER=$(call POST "/v1/stores/$STORE/customers" '{{"fullName": "Ada Lovelace",
  "email": "ada.'"$(uuid)"'@example.com", "requestId": "'"$(uuid)"'"}}' | field customer customerId)
CART='"customerId": "'"$CUSTOMER"'", "lines": [{{"productId": "'"$PRODUCT"'", "quantity": 2}}],
  "deliveryAddress": {{"recipient": "Ada Lovelace", "lines": ["12 St James Square"], "city": "London",
    "postalCode": "SW1Y 4JH", "countryCode": "GB"}}'
call POST "/v1/stores/$STORE/orders:preview" "{{$CART}}"
ORDER=$(call POST "/v1/stores/$STORE/orders" "{{$CART"', "paymentMethod": "pm_sandbox_ok",
  "requestId": "'"$(uuid)"'"}}' | field order orderId)
curl -sN --max-time 2 "$GATEWAY/v1/orders/${{ORDER}}:watch" -H "Authorization: Bearer $TOKEN"
call GET "/v1/stores/$STORE/payments?pageSize=1"
commerce trace "$ORDER\""""


def store_of(home: Home) -> str:
    """A store id of this home's own, for the card and for whoever just tries things."""
    return str(uuid.UUID(hex=home.secret("store"), version=4))


def show(console: Console, home: Home, status: Mapping[str, Any]) -> None:
    """Prints the card. Lines to paste are printed bare and unwrapped, so that they can be pasted."""
    rows = {
        "gateway": f"{status['gateway']}   REST, server-sent events, grpc-web, gRPC, with a token",
        **{code: f"{'  '.join(addresses)}   gRPC" for code, addresses in status["replicas"].items()},
        **{code: f"http://{address}   for its owner only" for code, address in status["companions"].items()},
        "database": f"{status['database']}   PostgreSQL",
        "nats": f"{status['nats']}   NATS",
        "traces": f"{status['otlp']}   takes OTLP by gRPC; to read one: commerce trace",
        "logs": str(home.logs),
    }
    console.print()
    for name, value in rows.items():
        console.print(
            f"  [bold]{name:<12}[/]{escape(str(value))}", markup=True, soft_wrap=True, highlight=False
        )
    if status["environment"] == tokens.DEVELOPMENT:
        store = store_of(home)
        token = tokens.mint(home, "store_admin", store=store)
        console.print(
            "\n[bold]Paste into another terminal[/] (sh, bash or zsh, with curl; the token lasts 12 hours):\n",
            markup=True,
        )
        lines = CALLS.format(
            programs=shlex.quote(str(Path(sys.executable).parent)),
            home=shlex.quote(str(home.path)),
            gateway=status["gateway"],
            store=store,
            token=token,
        )
        console.print(lines, markup=False, highlight=False, soft_wrap=True)
    console.print(
        "\n[bold]commerce status[/] · [bold]commerce doctor[/] · Ctrl-C stops everything\n",
        markup=True,
        soft_wrap=True,
    )
