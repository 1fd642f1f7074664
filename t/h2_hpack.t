#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RFC 7541 at the frame level: every way to write a field is understood, every way that is forbidden ends the
connection with COMPRESSION_ERROR, the table is the same on both sides over hundreds of requests, and what the gateway
writes is read by a decoder that knows nothing of it."""
import random

from lib.goma import *
from lib.h2 import *

# Names in the static table (appendix A) that a request may carry, with their index, and some pairs.
AUTHORITY, METHOD, PATH, SCHEME, COOKIE, USER_AGENT = 1, 2, 4, 6, 32, 58
DYNAMIC = 62                                            # the first entry of the dynamic table
START = indexed(2) + indexed(6) + indexed(4) + literal(AUTHORITY, "a.test")     # GET http / a.test


def handler(request):
    """Says which of its fields begin with x-, and the named ones."""
    told = [f"{n.lower()}={v}" for n, v in request.headers if re.match(r"(?i)x-.$", n)]
    told += [f"{n}={request[n]}" for n in ("user-agent", "cookie", "accept-language") if n in request]
    return Reply(body="\n".join(told).encode("latin-1"), headers=[(f"x-answer-{i}", "v" * i) for i in range(40)] + [("Set-Cookie", "a=b")])


origin = Origin(handler)
goma = Goma([route("/", origin)], entryPoints={"web": {"address": "127.0.0.1:0", "h2c": True}}, log={"level": "off"})


def exchange(peer, block):
    number = peer.next_stream()
    peer.send(headers(number, block))
    one = peer.stream(number)
    peer.wait(lambda: one.done or peer.goaway)
    return one


def understood(name, want, *blocks, first=()):
    """The last of the blocks gives a request whose fields the backend saw as wanted."""
    def play():
        peer = dial(goma.address)
        for block in first:
            exchange(peer, block)
        one = exchange(peer, b"".join(blocks))
        got = one.body.decode("latin-1") if one.status == 200 else f"{one} {peer.goaway}"
        same((got, peer.violations), (want, []), name)
        peer.close()
    attempt(name, play)


def broken(name, block, first=(), own=(), codes=("COMPRESSION_ERROR",)):
    def play():
        peer = dial(goma.address, settings=own)
        for one in first:
            exchange(peer, one)
        seen = len(origin.requests)
        exchange(peer, block)
        expect(peer.error in codes and peer.ended() and len(origin.requests) == seen, name, (peer.goaway, peer.streams))
        peer.close()
    attempt(name, play)


# --- 5.1 integers, 5.2 strings --------------------------------------------------------------------------------------

understood("6.2.2 a literal with both texts", "x-a=b", START, literal("x-a", "b"))
understood("5.2 Huffman in name and value", "x-a=b c", START, literal("x-a", "b c", huffman=True))
every = "".join(chr(c) for c in range(0x21, 0x7f)) + "\x80\xff"
understood("5.2 Huffman: every printable character", "x-a=" + every, START, literal("x-a", every, huffman=True))
understood("5.1 a length of exactly the prefix", "x-a=" + "v" * 127, START, literal("x-a", "v" * 127))
understood("5.1 a length above it", "x-a=" + "v" * 5000, START, literal("x-a", "v" * 5000))
understood("5.1 an integer with zeros behind it", "x-a=" + "v" * 127, START, b"\0\3x-a\x7f\x80\x80\0" + b"v" * 127)
understood("5.2 empty texts", "x-a=", START, literal("x-a", ""))
broken("5.1 an integer without an end", START + b"\0\3x-a\x7f" + b"\xff" * 10)
broken("5.1 an integer of 33 bits", START + b"\0\3x-a\x7f\xff\xff\xff\xff\x1f" + b"v" * 10)
broken("5.1 an index of 2^32 and 2", b"\xff" + integer((1 << 32) + 2 - 127 + 127, 7)[1:] + START)
broken("5.2 a text longer than the block", START + b"\0\3x-a\x0bb")
broken("5.2 a name longer than the block", START + b"\0\x7f\x80\x7fx-a")
broken("5.2 Huffman with the end-of-string symbol", START + b"\0\3x-a" + b"\x84\xff\xff\xff\xff")
broken("5.2 Huffman padded with zeros", START + b"\0\3x-a" + b"\x81\x18")           # "a" is 00011
broken("5.2 Huffman padded with a whole byte", START + b"\0\3x-a" + b"\x82\x1f\xff")
broken("5.2 Huffman cut inside a symbol", START + b"\0\3x-a" + b"\x81\xfe")
understood("5.2 Huffman padded as it must be", "x-a=a", START, b"\0\3x-a" + b"\x81\x1f")

# --- 6.1 indexed, 2.3.1 the static table ----------------------------------------------------------------------------

understood("6.1 static pairs", "", indexed(2), indexed(6), indexed(4), literal(AUTHORITY, "a.test"))
understood("6.1 a static pair with an empty value", "user-agent=", START, indexed(USER_AGENT))
understood("6.2 a static name", "user-agent=me", START, literal(USER_AGENT, "me"))
understood("6.2 a static name above the prefix of four bits", "cookie=a=b", START, literal(COOKIE, "a=b"))
broken("6.1 index 0", START + b"\x80")
broken("2.3.3 the first index behind the static table, of an empty dynamic one", START + indexed(DYNAMIC))
broken("2.3.3 an index far behind", START + indexed(100000))
broken("6.2 a name's index behind the tables", START + incremental(DYNAMIC, "x"))
broken("6.2 never indexed, name behind the tables", START + never(DYNAMIC, "x"))

# --- 2.3.2 the dynamic table, 4.1 sizes, 4.4 eviction ---------------------------------------------------------------

understood("6.2.1 an entry is used again in its own block", "x-a=b\nx-a=b", START, incremental("x-a", "b"), indexed(DYNAMIC))
understood("6.2.1 and in the next", "x-a=b", START, indexed(DYNAMIC), first=[START + incremental("x-a", "b")])
understood("6.2.1 its name alone", "x-a=c", START, literal(DYNAMIC, "c"), first=[START + incremental("x-a", "b")])
understood("2.3.2 the newest is first", "x-b=2\nx-a=1", START, indexed(DYNAMIC), indexed(DYNAMIC + 1), first=[START + incremental("x-a", "1") + incremental("x-b", "2")])
understood("6.2.2 a literal without indexing leaves no entry", "x-b=2", START, indexed(DYNAMIC), first=[START + incremental("x-b", "2") + literal("x-a", "1")])
understood("6.2.3 a never indexed one neither", "x-s=1\nx-b=2", START, never("x-s", "1"), indexed(DYNAMIC), first=[START + incremental("x-b", "2")])
large = "v" * (4096 - 32 - 3)
understood("4.1 an entry as large as the table", "x-a=" + large, START, indexed(DYNAMIC), first=[START + incremental("x-a", large)])
broken("4.4 an entry larger than the table empties it", START + indexed(DYNAMIC),
       first=[START + incremental("x-b", "2"), START + incremental("x-a", large + "v")])
broken("4.4 a new entry drives out the oldest", START + indexed(DYNAMIC + 1), first=[START + incremental("x-b", "2") + incremental("x-a", large)])
half = "v" * 2000
understood("4.4 an entry whose name is driven out by it", "x-a=" + large, START, incremental(DYNAMIC, large), first=[START + incremental("x-a", half)])
understood("4.4 and lives on", "x-a=" + large, START, indexed(DYNAMIC), first=[START + incremental("x-a", half), START + incremental(DYNAMIC, large)])

# --- 4.2, 6.3 size updates ------------------------------------------------------------------------------------------

understood("6.3 a size update at the beginning", "x-a=b", resize(100), START, incremental("x-a", "b"))
understood("6.3 two of them", "x-a=b", resize(0), resize(4096), START, incremental("x-a", "b"))
broken("6.3 size 0 empties the table", resize(0) + START + indexed(DYNAMIC), first=[START + incremental("x-a", "b")])
broken("6.3 down and up again empties it too", resize(0) + resize(4096) + START + indexed(DYNAMIC), first=[START + incremental("x-a", "b")])
broken("4.2 an update behind a field", START + resize(100))
broken("4.2 an update between two fields", indexed(2) + resize(100) + indexed(6) + indexed(4))
broken("6.3 a size above the one announced", resize(1 << 20) + START)
broken("6.3 one above it", resize(4097) + START)
broken("6.3 a size of 2^32", b"\x3f" + integer((1 << 32), 5)[1:] + START)
understood("4.3 a smaller table holds less", "x-c=3\nx-b=2", START, indexed(DYNAMIC), indexed(DYNAMIC + 1),
           first=[START + incremental("x-a", "1") + incremental("x-b", "2") + incremental("x-c", "3"), resize(72) + START])
broken("4.3 and no more", START + indexed(DYNAMIC + 2),
       first=[START + incremental("x-a", "1") + incremental("x-b", "2") + incremental("x-c", "3"), resize(72) + START])

# --- the gateway as an encoder --------------------------------------------------------------------------------------


def encoder(name, own):
    peer = dial(goma.address, settings=own)
    answers = [peer.ask("GET", "/", ("x-n", str(i))) for i in range(60)]
    right = all(a.status == 200 and a.text == f"x-n={i}" and [a[f"x-answer-{k}"] for k in range(40)] == ["v" * k for k in range(40)]
                for i, a in enumerate(answers))
    expect(right and not peer.violations and not peer.goaway, name, (answers[-1], peer.violations, peer.goaway))
    peer.close()
    return peer


attempt("6.5.2 responses over a table of 4,096", encoder, "responses are read by another decoder, sixty of them", {})
attempt("HEADER_TABLE_SIZE 0", encoder, "with a table of none", {HEADER_TABLE_SIZE: 0})
attempt("HEADER_TABLE_SIZE 100", encoder, "with a table of a hundred bytes", {HEADER_TABLE_SIZE: 100})
attempt("HEADER_TABLE_SIZE 64k", encoder, "with a table of 64 KiB", {HEADER_TABLE_SIZE: 65536})


def shrink():
    peer = dial(goma.address)
    peer.ask("GET", "/")
    peer.send(settings((HEADER_TABLE_SIZE, 64)))
    peer.wait(lambda: peer.settings_acks == 2)
    before = len(peer.frames)
    peer.decoder.max_allowed_table_size = 64            # the decoder itself demands the update at the block's beginning
    one = peer.ask("GET", "/")
    block = next(f for f in peer.frames[before:] if f.kind == HEADERS).payload
    expect(one.status == 200 and block[0] & 0xe0 == 0x20 and peer.decoder.header_table_size <= 64,
           "4.2 a table made smaller is said so at the beginning of the next block", (one, block[:8]))


attempt("4.2 a table made smaller", shrink)


# --- the table over a long life: two encoders at random, one model ----------------------------------------------------

class Table:
    """The dynamic table as section 4 describes it."""

    def __init__(self):
        self.entries, self.limit = [], 4096

    def size(self):
        return sum(len(n) + len(v) + 32 for n, v in self.entries)

    def add(self, name, value):
        self.entries.insert(0, (name, value))
        self.shrink()

    def shrink(self, limit=None):
        self.limit = self.limit if limit is None else limit
        while self.size() > self.limit:
            self.entries.pop()


def random_field(choice, table):
    """(bytes, name, value)"""
    pick = choice.random()
    if table.entries and pick < 0.4:
        index = choice.randrange(len(table.entries))
        return (indexed(DYNAMIC + index), *table.entries[index])
    name, value = f"x-{choice.choice('abcdefgh')}", "v" * choice.choice((0, 1, 10, 100, 1000, 3000))
    named = next((DYNAMIC + i for i, e in enumerate(table.entries) if e[0] == name), None) if pick < 0.7 else None
    write = choice.choice((literal, never, incremental, incremental))
    text = write(named or name, value, huffman=choice.random() < 0.5)
    if write is incremental:
        table.add(name, value)
    return text, name, value


def long_life():
    seed = int(os.environ.get("GOMA_SEED") or random.SystemRandom().getrandbits(32))
    note(f"GOMA_SEED={seed}")
    choice, table, peer = random.Random(seed), Table(), dial(goma.address)
    for number in range(400):
        block, told = b"", []
        if choice.random() < 0.1:
            table.shrink(choice.choice((0, 50, 500, 4096)))
            block += resize(table.limit)
        block += START
        for _ in range(choice.randrange(5)):
            text, name, value = random_field(choice, table)
            block += text
            told.append(f"{name}={value}")
        one = exchange(peer, block)
        if (one.status, one.text) != (200, "\n".join(told)):
            expect(False, "four hundred requests from one table", (number, told, one, peer.goaway))
            return
    expect(not peer.violations, "four hundred requests from one table", peer.violations)


attempt("a long life", long_life)
expect(goma.canary(), "a canary passes")
