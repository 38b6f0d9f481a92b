"""Names the parts of the catalog service and runs them."""

from functools import partial

from services.catalog import movements
from services.catalog.category_handlers import CategoryService
from services.catalog.definition import DEFINITION
from services.catalog.handlers import CatalogService, StockService
from services.catalog.import_handlers import ImportService
from services.catalog.imports import Imports
from services.catalog.movements import Movements
from services.catalog.reactions import reactions
from services.catalog.reservations import Reservations
from services.catalog.settings import CatalogSettings
from services.catalog.sweeper import Sweeper
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""
    settings, database = CatalogSettings.load(), runtime.database
    hub = runtime.hub("stock", partial(movements.updates, database), partial(movements.versions, database))
    recorded = Movements(hub)
    reservations = Reservations(recorded, settings.catalog_open_reservations)
    return Parts(
        handlers=[
            CatalogService(runtime.pages),
            CategoryService(runtime.pages),
            StockService(recorded, reservations, hub, runtime.pages),
            ImportService(Imports(recorded), runtime.pages),
        ],
        reactions=reactions(reservations),
        workers=[Sweeper(runtime, reservations)],
        hubs=[hub],
    )


if __name__ == "__main__":
    run(DEFINITION, build)
