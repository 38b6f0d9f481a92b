"""`commerce status`: where everything is."""

from __future__ import annotations

from rich.console import Console

from services.cluster.home import Home
from services.cluster.output import Output, counted, print_json


def show(home: Home, output: Output, console: Console) -> None:
    """Print what the running cluster last said of itself. Raises HomeError when none runs."""
    state = home.state()
    if output is Output.JSON:
        print_json(state)
        return
    console.print(
        f"gateway   {state['gateway']}\ndatabase  {state['database']}\nnats      {state['nats']}",
        soft_wrap=True,
    )
    for name, process in state["processes"].items():
        again = f"  restarted {counted(process['restarts'], 'time')}" if process["restarts"] else ""
        line = f"{name:<12} {process['state']:<10} {process['address']}  pid {process['pid']}{again}"
        console.print(line, soft_wrap=True, highlight=False)
