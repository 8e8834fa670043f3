#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a Python programmer would build instead of muster: the same service (a question on a Unix socket, every source
fetched at once, every document handed to a pool of processes the moment it arrives, one JSON back) on asyncio, aiohttp
and ProcessPoolExecutor. Written for speed: a protocol class rather than streams, one session whose connections are
kept and not limited, URLs parsed once, no headers that nobody needs, bytes (not objects) to the pool and one truth
value back, the answer put together from text.

    compare-aiohttp.py SOCKET PROCESSES URL...

A pool process does what muster's engine `none` does: it checks that the document is JSON. Python's own interpreter and
the distribution's aiohttp; the standard library's json, as orjson and uvloop are not part of either."""

import asyncio
import concurrent.futures
import gc
import json
import signal
import sys
import time

import aiohttp
import yarl


def is_json(document):
    try:
        json.loads(document)
    except ValueError:
        return False
    return True


class Service:
    def __init__(self, loop, pool, session, urls):
        self.loop, self.pool, self.session = loop, pool, session
        self.urls = [yarl.URL(url, encoded=True) for url in urls]

    async def source(self, number, url):
        start = time.monotonic()
        try:
            async with self.session.get(url, allow_redirects=False) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return f'"source-{number}":{{"verdict":"http","data":null}}'
        ms = (time.monotonic() - start) * 1e3
        valid = status == 200 and await self.loop.run_in_executor(self.pool, is_json, body)
        verdict, data = ("ok", body.decode()) if valid else ("decode", "null")
        return (
            f'"source-{number}":{{"verdict":"{verdict}","status":{status},"bytes":{len(body)},'
            f'"fetch_ms":{ms:.3f},"data":{data}}}'
        )

    async def answer(self, text):
        start = time.monotonic()
        question = json.loads(text)["parameters"]["question"]
        sources = await asyncio.gather(*(self.source(i, url) for i, url in enumerate(self.urls)))
        return (
            f'{{"parameters":{{"query":{json.dumps(question)},"success":true,"sources":{{{",".join(sources)}}},'
            f'"execution_time":{time.monotonic() - start:.6f}}}}}\0'
        ).encode()


class Client(asyncio.Protocol):
    def __init__(self, service):
        self.service, self.rest, self.tasks = service, b"", set()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        *calls, self.rest = (self.rest + data).split(b"\0")
        for call in calls:
            task = self.service.loop.create_task(self.reply(call))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def connection_lost(self, error):
        for task in self.tasks:
            task.cancel()

    async def reply(self, call):
        self.transport.write(await self.service.answer(call))


async def main():
    path, processes, urls = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=30)
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, is_json, b"{}") for _ in range(64)))  # all are up
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=5),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        ) as session:
            service = Service(loop, pool, session, urls)
            gc.freeze()
            server = await loop.create_unix_server(lambda: Client(service), path, backlog=1024)
            stop = asyncio.Event()  # by a signal, so that the pool's processes are taken along
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            async with server:
                await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
