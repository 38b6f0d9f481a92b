"""What the catalog service is told besides what every service is told."""

from pydantic import Field

from services.runtime.settings import Settings


class CatalogSettings(Settings):
    """How much may wait for a confirmation."""

    catalog_open_reservations: int = Field(
        default=500, ge=1, description="reservations of one customer that wait for their order's confirmation"
    )
