"""Names the parts of the catalog service and runs them."""

from services.catalog.definition import DEFINITION
from services.catalog.handlers import CatalogService, StockService
from services.catalog.reactions import REACTIONS
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""
    return Parts(handlers=[CatalogService(runtime.pages), StockService()], reactions=REACTIONS)


run(DEFINITION, build)
