"""A Jabber client for tests, made of slixmpp, driven by JSON lines.

Commands come on standard input, one JSON object a line; what the client sees
goes to standard output the same way. The Go side is slixmpp.go. The client
adds nothing of its own to what it is told to send, except what slixmpp does by
itself: answers to disco, ping and version, and receipts when asked to.
"""

import argparse
import asyncio
import json
import logging
import sys
from xml.etree import ElementTree

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import tostring
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

PLUGINS = (
    "xep_0030", "xep_0054", "xep_0066", "xep_0071", "xep_0085", "xep_0092",
    "xep_0115", "xep_0184", "xep_0199", "xep_0202", "xep_0203",
    "xep_0280", "xep_0297", "xep_0308", "xep_0333", "xep_0359", "xep_0461",
)


def emit(event, **fields):
    """Writes one line for the test; absent fields are left out."""
    line = {"event": event}
    line.update({k: v for k, v in fields.items() if v not in (None, "", [], False)})
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def error_of(stanza):
    """The stanza error as RFC 6120 §8.3 has it, None without one."""
    if stanza["type"] != "error":
        return None
    e = stanza["error"]
    return {"type": e["type"], "condition": e["condition"], "text": e["text"]}


class Client(slixmpp.ClientXMPP):
    def __init__(self, options):
        # PLAIN as a rule: slixmpp needs a second of computing for SCRAM. There
        # is no TLS on loopback here.
        super().__init__(
            options.jid, options.password, sasl_mech=None if options.scram else "PLAIN",
            plugin_config={"feature_mechanisms": {"unencrypted_plain": not options.scram}})
        self.options = options
        self.closing = False
        self.address_of_server = (options.host, options.port)
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self["xep_0184"].auto_ack = options.receipts
        if options.ask:  # the test decides who may see us
            self.auto_authorize, self.auto_subscribe = None, False
        self.add_event_handler("session_start", self.on_session_start)
        # slixmpp's event "message" leaves out what has no body, such as receipts.
        self.register_handler(
            Callback("every message", MatchXPath("{jabber:client}message"), self.on_message))
        self.add_event_handler("presence", self.on_presence)
        self.add_event_handler("failed_all_auth", lambda _: emit("refused"))
        self.add_event_handler("disconnected", self.on_disconnected)
        self.add_event_handler("connection_failed", self.come_back)

    def go(self):
        self.connect(self.address_of_server, force_starttls=False, disable_starttls=True)

    async def on_session_start(self, _):
        if self.options.ask:
            await self.get_roster()  # who has not asked for it is told of no decision (RFC 6121 §2.2)
        if self.options.presence:
            self.send_presence()
        if self.options.carbons:
            await self["xep_0280"].enable()
        emit("online", jid=str(self.boundjid))

    def on_disconnected(self, _):
        emit("offline")
        self.come_back()

    def come_back(self, _=None):
        # slixmpp's own attempts are seconds apart; connect() ends those.
        if self.options.reconnect and not self.closing:
            self.loop.call_later(0.1, self.go)

    def on_message(self, m):
        marker = None
        for name in ("received", "displayed", "acknowledged"):
            element = m.xml.find("{urn:xmpp:chat-markers:0}" + name)
            if element is not None:
                marker = {"name": name, "id": element.get("id")}
        bodies = {
            b.get("{http://www.w3.org/XML/1998/namespace}lang", m.get_lang() or ""): b.text or ""
            for b in m.xml.findall("{jabber:client}body")
        }
        emit(
            "message", **self.head(m), body=m["body"], bodies=bodies, subject=m["subject"],
            thread=m["thread"], state=m["chat_state"], receipt=m["receipt"],
            receipt_request=bool(m["request_receipt"]), marker=marker,
            markable=m.xml.find("{urn:xmpp:chat-markers:0}markable") is not None,
            carbon=m.xml.find("{urn:xmpp:carbons:2}received") is not None
            or m.xml.find("{urn:xmpp:carbons:2}sent") is not None,
        )

    def on_presence(self, p):
        if p["from"] == self.boundjid:
            return
        show = p.xml.find("{jabber:client}show")
        emit(
            "presence", **self.head(p), status=p["status"], priority=p["priority"],
            show=show.text if show is not None else None,
        )

    def head(self, stanza):
        return {
            "from": str(stanza["from"]), "to": str(stanza["to"]), "id": stanza["id"],
            # The type as on the wire; slixmpp would invent one.
            "type": stanza.xml.get("type"),
            "lang": stanza.xml.get("{http://www.w3.org/XML/1998/namespace}lang"),
            "error": error_of(stanza), "xml": tostring(stanza.xml),
        }

    async def commands(self):
        reader = asyncio.StreamReader(limit=16 << 20)
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while True:
            line = await reader.readline()
            if not line:
                break
            command = json.loads(line)
            try:
                await getattr(self, "do_" + command.pop("op"))(**command)
            except Exception as e:  # the test learns of it, whatever it is
                logging.exception("command %s", line)
                emit("trouble", text=f"{line!r}: {e!r}")
        self.closing = True
        await self.disconnect(wait=1.0)

    async def do_raw(self, xml):
        self.send_raw(xml)

    async def do_message(self, to, id, type="chat", body=None, subject=None, thread=None,
                         lang=None, state=None, receipt_request=False, receipt=None,
                         markable=False, marker=None, extra=None):
        m = self.make_message(mto=to, mtype=type)
        m["id"] = id
        if lang:
            m.xml.set("{http://www.w3.org/XML/1998/namespace}lang", lang)
        if body is not None:
            m["body"] = body
        if subject is not None:
            m["subject"] = subject
        if thread is not None:
            m["thread"] = thread
        if state is not None:
            m["chat_state"] = state
        if receipt_request:
            m["request_receipt"] = True
        if receipt is not None:
            m["receipt"] = receipt
        if markable:
            m.enable("markable")
        if marker is not None:
            m[marker["name"]]["id"] = marker["id"]
        if extra is not None:
            for child in ElementTree.fromstring(f"<x xmlns='jabber:client'>{extra}</x>"):
                m.xml.append(child)
        m.send()

    async def do_presence(self, to=None, type=None, show=None, status=None, priority=None):
        self.send_presence(pto=to, ptype=type, pshow=show, pstatus=status, ppriority=priority)

    async def do_iq(self, token, to, type, payload):
        # As a task: a slow answer must not hold up the next command.
        asyncio.ensure_future(self.iq(token, to, type, payload))

    async def iq(self, token, to, type, payload):
        iq = self.make_iq(ito=to, itype=type)
        iq.append(ElementTree.fromstring(payload))
        try:
            result = await iq.send(timeout=self.options.iq_timeout)
            emit("result", token=token, xml=tostring(result.xml))
        except IqError as e:
            emit("result", token=token, error=error_of(e.iq), xml=tostring(e.iq.xml))
        except IqTimeout:
            emit("result", token=token, timeout=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--jid", required=True)
    p.add_argument("--host", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--iq-timeout", type=int, default=15)
    p.add_argument("--receipts", action="store_true")
    p.add_argument("--carbons", action="store_true")
    p.add_argument("--presence", action="store_true")
    p.add_argument("--reconnect", action="store_true")
    p.add_argument("--scram", action="store_true")
    p.add_argument("--ask", action="store_true")
    options = p.parse_args()
    # The password comes first on standard input: command lines can be read by
    # everyone on the machine.
    options.password = sys.stdin.readline().rstrip("\n")
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.INFO)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    client = Client(options)
    client.go()
    loop.run_until_complete(client.commands())


main()
