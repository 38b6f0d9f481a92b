"""What the catalog service says about itself."""

from services.runtime.definition import Definition, Tier

DEFINITION = Definition(
    code="catalog",
    tier=Tier.OPTIONAL,
    port=7003,
    proto_services=(
        "commerce.catalog.v1.CatalogService",
        "commerce.catalog.v1.CategoryService",
        "commerce.catalog.v1.StockService",
        "commerce.catalog.v1.ImportService",
    ),
    # For ListProducts' query: parts of words, of one store.
    extensions=("pg_trgm", "btree_gin"),
)
