import pytest

from tests.providers.paypal import PaypalServer
from tests.providers.paypal.merchant import Merchant


@pytest.fixture
async def server():
    async with PaypalServer() as server:
        yield server


@pytest.fixture
async def merchant(server):
    merchant = Merchant(server)
    await merchant.sign_in()
    yield merchant
    await merchant.session.close()
