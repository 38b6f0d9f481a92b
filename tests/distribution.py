"""Which process runs which file of tests, when several do.

A process stays in a folder while that has files left: what a folder's tests share, above all clusters, is started
once by each process that works there. What takes long begins early, so that none is at work alone in the end.
"""

from collections import Counter, defaultdict

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

# In seconds, about: only the order depends on it. A file that is not here takes as many tenths as it has tests.
LONG = {
    "simulation/test_simulation": 130,
    "simulation/test_till_simulation": 120,
    "saga/test_crash_matrix": 110,
    "saga/test_races": 100,
    "cluster/test_first_command": 80,
    "oracle/test_whole_orders": 80,
    "saga/test_payment_crash_matrix": 70,
    "cluster/commands/test_imports": 60,
    "contract/test_recipes": 80,
    "edge/test_cards": 60,
    "payment/gateways/test_gateway_kit_faults": 60,
    "cluster/test_output": 60,
    "cluster/commands/test_doctor": 60,
    "cluster/demo/test_demo": 60,
    "payment/payments/test_ten_thousand": 50,
    "cluster/test_life": 50,
    "saga/test_crashes": 50,
    "saga/test_watches": 40,
    "payment/payments/test_reactions": 40,
    "runtime/test_events": 40,
    "edge/test_odd_requests": 40,
    "edge/test_tokens": 30,
    "saga/test_replicas": 30,
    "contract/test_every_refusal": 30,
    "order/test_poison": 30,
    "cluster/test_readme": 30,
    "gateway/test_http": 20,
    "order/test_fairness": 20,
    "payment/payments/test_ingest_webhook": 20,
    "edge/test_input": 20,
    "payment/payments/test_payment_races": 20,
    "payment/ledger/test_export_ledger": 20,
    "gateway/test_keys": 20,
    "order/test_reactions": 20,
    "payment/payments/test_survival": 20,
    "edge/test_grpc": 20,
    "cluster/test_play_money": 20,
    "edge/test_fields": 20,
    "payment/ledger/test_list_ledger_entries": 20,
    "payment/payments/test_expiry": 20,
    "catalog/test_import_products": 20,
    "cluster/test_migrations": 20,
    "cluster/commands/test_commands": 20,
    "order/test_get_customer_order_stats": 20,
}


def name(file: str) -> str:
    """The path below tests/ as LONG has it."""
    return file.removeprefix("tests/").removesuffix(".py")


def folder(file: str) -> str:
    """The folder right below tests/."""
    return "/".join(file.split("/")[:2])


class Distribution(LoadFileScheduling):  # type: ignore[misc]
    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._next_file(node), last=False)
        super()._assign_work_unit(node)

    def _next_file(self, node: WorkerController) -> str:
        """The longest file of the folder where a process is at work, or of the one with the most work for each."""
        here = self._folder_of(node)
        waiting: dict[str, float] = defaultdict(float)
        for file in self.workqueue:
            waiting[folder(file)] += self._seconds(file)
        if here not in waiting:
            busy = Counter(map(self._folder_of, self.nodes))
            here = max(waiting, key=lambda each: waiting[each] / (1 + busy[each]))
        files: list[str] = [file for file in self.workqueue if folder(file) == here]
        return max(files, key=self._seconds)

    def _folder_of(self, node: WorkerController) -> str:
        """Where a process is at work; "" before it begins."""
        return next((folder(file) for file in reversed(self.assigned_work[node])), "")

    def _seconds(self, file: str) -> float:
        return LONG.get(name(file), len(self.workqueue[file]) / 10)
