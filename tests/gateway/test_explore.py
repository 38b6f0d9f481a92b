from tests.gateway.conftest import *
from tests.gateway.collector import Collector
import dataclasses
async def test_x(gateway, tmp_path):
    c=Collector(); await c.start()
    g=dataclasses.replace(gateway, address=free_address(), admin=free_address(), log=tmp_path/"log")
    p=await start(g, tmp_path, otlp=c.address, sampling=1.0)
    O="/v1/orders/018f0000-0000-7000-8000-000000000009"
    async with aiohttp.ClientSession(g.url, headers={"authorization":"Bearer "+gateway.keys.token()}) as s:
        async with s.get(O) as r: print(dict(r.headers))
        async with s.get(f"/v1/stores/{STORE}/customers?query=jane") as r: print(dict(r.headers))
        async with s.get("/nothing?query=jane") as r: print(dict(r.headers))
        async with s.get(f"/v1/stores/{OTHER_STORE}/customers?query=jane") as r: print(dict(r.headers))
    import time
    t=time.time()
    while len(c.spans)<4 and time.time()-t<8: await asyncio.sleep(0.1)
    print(time.time()-t, c.services)
    print(c.spans)
    print(gateway.script.arrivals[0].metadata["traceparent"])
    p.terminate(); await p.wait(); await c.stop()
    print(g.log.read_text())
