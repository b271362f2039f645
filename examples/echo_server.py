"""An echo server and a hundred clients, in one program: streams, tasks and a timeout.

python examples/echo_server.py
"""

import asyncio

import rota


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def client(port: int, number: int) -> bytes:
    reader, writer = await rota.open_connection("127.0.0.1", port)
    writer.write(b"client %d\n" % number)
    async with rota.timeout(5):
        answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def main() -> None:
    server = await rota.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = await rota.gather(*[client(port, number) for number in range(100)])
    print(f"{len(answers)} answers, the last one {answers[-1].decode().strip()!r}")
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    rota.run(main())
