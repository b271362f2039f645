"""What TLS does between the bytes: versions, keys that change, certificates that come late, names and tickets."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import pytest

from .conftest import ROTA
from .recorder import Recorder, troubles, turns, until
from .tls_peer import NAME, Peer

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server(authority, version=None, *, verify=False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if verify:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_both_versions_go_both_ways(run_real, meet, authority, version):
    async def main():
        transport, protocol, peer = await meet(
            server_context=server(authority, version), client_context=client(authority)
        )
        assert transport.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        transport.write(bytes(100_000))
        found = 0

        def all_there():
            nonlocal found
            found += len(peer.read())
            return found == 100_000

        await until(all_there)
        for _ in range(4):
            peer.write(bytes(20_000))
            await turns()
        await until(lambda: len(protocol.data) == 80_000)
        transport.close()
        await until(lambda: peer.read() == b"" and peer.goodbye)
        peer.say_goodbye()
        assert await protocol.lost is None

    run_real(main())


def test_versions_that_do_not_meet(run_real, pair, authority):
    async def main():
        told = troubles()
        context = client(authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        peer = Peer(pair[1], server(authority, ssl.TLSVersion.TLSv1_2))
        connecting = asyncio.get_running_loop().create_connection(
            Recorder, sock=pair[0], ssl=context, server_hostname=NAME
        )
        error, refused = await asyncio.gather(connecting, shake_in_vain(peer), return_exceptions=True)
        assert isinstance(error, ssl.SSLError)
        assert "VERSION" in str(error)
        assert "UNSUPPORTED_PROTOCOL" in str(refused)
        assert told == []

    run_real(main())


async def shake_in_vain(peer):
    try:
        await peer.shake()
    finally:
        peer.send()  # the alert


@pytest.mark.parametrize("kind", ROTA)
def test_a_certificate_that_is_asked_for_late(run_real, authority):
    """TLS 1.3's post-handshake authentication; asyncio keeps what it knew after the handshake."""
    asking = server(authority, ssl.TLSVersion.TLSv1_3, verify=True)
    asking.post_handshake_auth = True
    context = client(authority)
    context.post_handshake_auth = True
    authority.issue_cert("known@client.test").configure_cert(context)

    class Asking(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"let me in":
                assert self.transport.get_extra_info("peercert") is None
                self.transport.get_extra_info("ssl_object").verify_client_post_handshake()
                self.transport.write(b"who are you?")

    async def main():
        loop = asyncio.get_running_loop()
        served = []

        def serve():
            served.append(Asking())
            return served[-1]

        listening = await loop.create_server(serve, "127.0.0.1", 0, ssl=asking)
        transport, protocol = await loop.create_connection(
            Recorder, *listening.sockets[0].getsockname(), ssl=context, server_hostname=NAME
        )
        transport.write(b"let me in")
        await until(lambda: protocol.data == b"who are you?")
        # The client's answer has left by itself; with the next bytes it is known.
        transport.write(b"as I said")
        await until(lambda: served[0].data == b"let me inas I said")
        certificate = served[0].transport.get_extra_info("peercert")
        assert ("email", "known@client.test") in certificate["subjectAltName"]
        transport.close()
        await protocol.lost
        await served[0].lost
        listening.close()
        await listening.wait_closed()

    run_real(main())


def test_a_server_hears_the_name_that_is_asked_for(run_real, authority):
    names = []

    def choose(sslobject, name, context):
        names.append(name)
        sslobject.context = other

    first = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.test").configure_cert(first)
    first.sni_callback = choose
    other = server(authority)

    async def main():
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=first)
        transport, protocol = await loop.create_connection(
            Recorder, *listening.sockets[0].getsockname(), ssl=client(authority), server_hostname=NAME
        )
        assert names == [NAME]
        transport.close()
        await protocol.lost
        await turns()
        listening.close()
        await listening.wait_closed()

    run_real(main())


def test_timeouts_are_positive(run_real, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=r"^ssl_handshake_timeout should be a positive number, got 0$"):
            await loop.create_connection(
                Recorder, sock=pair[0], ssl=client_context, server_hostname=NAME, ssl_handshake_timeout=0
            )
        with pytest.raises(ValueError, match=r"^ssl_shutdown_timeout should be a positive number, got -1$"):
            await loop.create_connection(
                Recorder, sock=pair[0], ssl=client_context, server_hostname=NAME, ssl_shutdown_timeout=-1
            )

    run_real(main())


def test_sessions_are_there_to_be_used_again(run_real, pair, authority):
    """A server's tickets come with its first bytes; a context subclass may pass a session to wrap_bio."""
    sessions = []

    class Remembering(ssl.SSLContext):
        def wrap_bio(self, incoming, outgoing, **options):
            if sessions:
                options["session"] = sessions[-1]
            return super().wrap_bio(incoming, outgoing, **options)

    context = Remembering(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    serving = server(authority)

    async def main():
        loop = asyncio.get_running_loop()

        class Greeter(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.write(b"hello")

        listening = await loop.create_server(Greeter, "127.0.0.1", 0, ssl=serving)
        for reused in (False, True):
            transport, protocol = await loop.create_connection(
                Recorder, *listening.sockets[0].getsockname(), ssl=context, server_hostname=NAME
            )
            await until(lambda protocol=protocol: protocol.data == b"hello")
            secured = transport.get_extra_info("ssl_object")
            assert secured.session_reused is reused
            sessions.append(secured.session)
            transport.close()
            await protocol.lost
        await turns()
        listening.close()
        await listening.wait_closed()

    run_real(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program to be the peer")
@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("-tls1_3", "k"),  # the client changes its keys
        ("-tls1_3", "K"),  # ... and asks us to change ours
    ],
)
def test_keys_change(new_loop, authority, version, command):
    """openssl's client takes a letter at the beginning of a line for a command."""
    heard = Recorder.data_received

    class Echo(Recorder):
        def data_received(self, data):
            heard(self, data)
            self.transport.write(data.upper())

    with asyncio.Runner(loop_factory=new_loop) as runner:
        told, protocol, output = runner.run(
            converse(Echo, server(authority), version, ["one\n", f"{command}\n", "two\n"])
        )
    assert told == []
    assert protocol.data == b"one\ntwo\n"
    assert b"ONE" in output
    assert b"TWO" in output


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program to be the peer")
@pytest.mark.parametrize("kind", ROTA)
def test_renegotiation_is_refused(new_loop, authority):
    """With TLS 1.2 a client can ask for one handshake after the other, each of which costs us far more than it."""
    context = server(authority)
    assert context.options & ssl.OP_NO_RENEGOTIATION == 0
    with asyncio.Runner(loop_factory=new_loop) as runner:
        told, protocol, output = runner.run(converse(Recorder, context, "-tls1_2", ["one\n", "R\n", "two\n"]))
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert told == []
    assert protocol.data.startswith(b"one\n")
    assert b"no renegotiation" in output


async def converse(factory, context, version, lines):
    """``(troubles, protocol, output)`` of openssl's client, which says ``lines``, one a moment."""
    loop = asyncio.get_running_loop()
    told = troubles()
    protocols = []

    def make():
        protocols.append(factory())
        return protocols[-1]

    listening = await loop.create_server(make, "127.0.0.1", 0, ssl=context)
    host, port = listening.sockets[0].getsockname()
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"{host}:{port}", version, "-servername", NAME,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    await until(lambda: protocols and protocols[0].events)
    for line in lines:
        process.stdin.write(line.encode())
        await asyncio.sleep(0.3)
    process.stdin.write(b"Q\n")
    output, _ = await process.communicate()
    if not protocols[0].lost.done():
        await protocols[0].lost
    listening.close()
    await listening.wait_closed()
    return told, protocols[0], output
