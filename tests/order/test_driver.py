"""The driver: no order stops the others, whatever happens to it."""

import asyncpg


async def test_an_order_that_somebody_locks_for_long_is_driven_on_later(shop):
    """Longer than a lock is waited for: what cannot be recorded now is recorded then, by the same process."""
    process = shop.clients.cluster.process("order")
    restarts = process.restarts
    order_id = await shop.order(method="pm_sandbox_slow", until="RESERVED")
    keeper = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        async with keeper.transaction():
            await keeper.execute('SELECT 1 FROM "order".orders WHERE order_id = $1 FOR UPDATE', order_id)
            await keeper.execute("SELECT pg_sleep(8)")
    finally:
        await keeper.close()

    await shop.until(order_id, "CONFIRMED")

    assert process.restarts == restarts
