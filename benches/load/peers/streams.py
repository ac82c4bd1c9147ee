"""A webhook sender with asyncio: redis-py reads a consumer group, aiohttp posts, what was posted is acknowledged.

One session with kept connections and one bound on the posts under way, as the documentation of both advises; the
acknowledgements of a read go in one pipeline. Runs until it is killed.
"""

import asyncio
import sys

import aiohttp
import redis.asyncio as redis

STREAM, GROUP, CONSUMER = "peers:messages", "webhooks", "one"
READ = 256
READS_UNDER_WAY = 2


async def post(session, places, url, message):
    async with places:
        try:
            async with session.post(url.decode(), data=b'{"message":%b}' % message) as answer:
                await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            print(error, file=sys.stderr)


async def settle(client, ids, posts):
    await asyncio.gather(*posts)
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.xack(STREAM, GROUP, *ids)
        pipeline.xdel(STREAM, *ids)
        await pipeline.execute()


async def main(url, concurrency):
    client = redis.from_url(url)
    await client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    places = asyncio.Semaphore(concurrency)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        timeout=aiohttp.ClientTimeout(total=5),
        headers={"content-type": "application/json"},
    )
    under_way = set()
    while True:
        for _, entries in await client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=READ, block=2000):
            posts = [post(session, places, fields[b"url"], fields[b"message"]) for _, fields in entries]
            under_way.add(asyncio.create_task(settle(client, [entry for entry, _ in entries], posts)))
        # Bounded, so that memory does not grow with the backlog.
        while len(under_way) >= READS_UNDER_WAY:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
