"""What the modules of tables write themselves into."""

from sqlalchemy import MetaData

METADATA = MetaData()
