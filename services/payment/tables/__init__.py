"""The tables of payments, a module for each room that has some. METADATA knows them all once this is imported."""

from services.payment.tables import ledger, methods, payments, settlements, store_settings
from services.payment.tables.metadata import METADATA

__all__ = ["METADATA", "ledger", "methods", "payments", "settlements", "store_settings"]
