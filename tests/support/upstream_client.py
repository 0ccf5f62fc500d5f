"""Talks to a server through the client library of the original's authors, in whichever release Python finds.

A process of its own: `python upstream_client.py URL USER PASSWORD < calls`, where `calls` is a JSON list of
[method, arguments]. It logs in and prints a JSON list of the results; an exception is {"raised": name, "text": text}.
"""

import asyncio
import importlib
import inspect
import json
import sys
from typing import Any


async def main(url: str, user: str, password: str) -> None:
    """Log in, carry the calls out one after the other, and print what came back."""
    library: Any = importlib.import_module("cinp.client")
    client = library.CInP(url, "/api/v2/")
    # Releases for 1.0 and later are asynchronous, and open their connections first.
    if hasattr(client, "__aenter__"):
        await client.__aenter__()
    token = await _waited(client.call("/api/v2/Auth/User(login)", {"username": user, "password": password}))
    client.setAuth(user, token)
    results = []
    for method, arguments in json.load(sys.stdin):
        try:
            results.append(await _waited(getattr(client, method)(*arguments)))
        except Exception as error:
            results.append({"raised": type(error).__name__, "text": str(error)})
    if hasattr(client, "__aexit__"):
        await client.__aexit__(None, None, None)
    print(json.dumps(results))


async def _waited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
