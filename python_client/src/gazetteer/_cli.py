"""The command `gazetteer`, for demonstrations: parses, calls, prints.

Exit codes: 0 done, 1 the call failed, 2 the command line or the request is wrong.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from gazetteer import GazetteerClient, GazetteerError, InvalidRequest
from gazetteer.v1 import gazetteer_pb2 as pb

Command: TypeAlias = Callable[[GazetteerClient, argparse.Namespace], Iterable[Message]]

DONE, FAILED, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    options = _parser().parse_args(arguments)
    show = _json if options.output == "json" else _text
    try:
        with GazetteerClient.connect(
            options.target, sticky_key=options.user, deadline=options.timeout
        ) as client:
            for message in options.command(client, options):
                print(show(message), flush=True)
    except (InvalidRequest, ValueError) as error:
        return _fail(WRONG, error)
    except GazetteerError as error:
        return _fail(FAILED, f"{options.target}: {error}")
    except BrokenPipeError:
        # Whoever read had enough; the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gazetteer", description="Asks the gazetteer.")
    parser.add_argument(
        "--target", default="127.0.0.1:50050", metavar="HOST:PORT", help="default: %(default)s"
    )
    parser.add_argument("--user", metavar="ID", help="sticky key, sent as x-user-id")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="json: by line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    get = commands.add_parser("get", help="read one place")
    get.set_defaults(command=_get)
    get.add_argument("place_id", type=int, metavar="ID")

    search = commands.add_parser("search", help="find places by name")
    search.set_defaults(command=_search)
    search.add_argument("query")
    search.add_argument("--limit", type=int, default=0)
    search.add_argument("--country", default="", metavar="CC")
    search.add_argument("--min-similarity", type=float, metavar="0.1..1")

    nearest = commands.add_parser("nearest", help="find places by position")
    nearest.set_defaults(command=_nearest)
    nearest.add_argument("latitude", type=float)
    nearest.add_argument("longitude", type=float)
    nearest.add_argument("--limit", type=int, default=0)
    nearest.add_argument("--max-distance-m", type=float, metavar="METRES")

    listing = commands.add_parser("list", help="stream places in order of id")
    listing.set_defaults(command=_list)
    listing.add_argument("--country", default="", metavar="CC")
    listing.add_argument("--min-population", type=int, default=0)
    listing.add_argument("--page-size", type=int, default=0)
    listing.add_argument("--limit", type=int, default=0)

    route = commands.add_parser("route", help="measure a route")
    route.set_defaults(command=_route)
    route.add_argument("degrees", type=float, nargs="*", metavar="LAT LON")

    suggest = commands.add_parser("suggest", help="type ahead")
    suggest.set_defaults(command=_suggest)
    suggest.add_argument("prefix", nargs="*", help="default: the lines of standard input")
    suggest.add_argument("--limit", type=int, default=0)

    visit = commands.add_parser("visit", help="record a visit")
    visit.set_defaults(command=_visit)
    visit.add_argument("place_id", type=int, metavar="ID")
    visit.add_argument("visitor")
    return parser


def _get(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    return [client.get_place(options.place_id)]


def _search(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    return client.search_places(
        options.query,
        limit=options.limit,
        country_code=options.country,
        min_similarity=options.min_similarity,
    ).results


def _nearest(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    return client.find_nearest(
        (options.latitude, options.longitude),
        limit=options.limit,
        max_distance_m=options.max_distance_m,
    ).results


def _list(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    return client.list_places(
        country_code=options.country,
        min_population=options.min_population,
        page_size=options.page_size,
        limit=options.limit,
    )


def _route(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    if len(options.degrees) % 2:
        raise ValueError("route takes pairs: the last latitude has no longitude")
    points = zip(options.degrees[::2], options.degrees[1::2], strict=True)
    return [client.measure_route(points)]


def _suggest(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    typed: Iterator[str] = (line.rstrip("\n") for line in sys.stdin)
    return client.suggest(options.prefix or typed, limit=options.limit)


def _visit(client: GazetteerClient, options: argparse.Namespace) -> Iterable[Message]:
    return [client.record_visit(options.place_id, options.visitor)]


def _json(message: Message) -> str:
    return MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def _text(message: Message) -> str:
    match message:
        case pb.Place():
            position = f"{message.location.latitude:.4f} {message.location.longitude:.4f}"
            return (
                f"{message.id}  {message.name}, {message.country_code}  {position}  "
                f"{message.timezone}  {message.population:,} inhabitants"
            )
        case pb.GetPlaceResponse():
            names = ", ".join(message.alternate_names)
            return f"{_text(message.place)}  {message.visit_count} visits\n  also: {names or '-'}"
        case pb.SearchResult():
            return f"{message.score:.4f}  {_text(message.place)}  ({message.matched_name})"
        case pb.NearPlace():
            return f"{message.distance_m / 1000:.3f} km  {_text(message.place)}"
        case pb.MeasureRouteResponse():
            return (
                f"{message.distance_m / 1000:.3f} km over {message.point_count} points, "
                f"longest leg {message.longest_leg_m / 1000:.3f} km"
            )
        case pb.SuggestResponse():
            names = ", ".join(f"{s.name} ({s.country_code})" for s in message.suggestions)
            return f"{message.sequence}: {names or '-'}"
        case pb.RecordVisitResponse():
            return f"visit {message.visit_id} recorded, {message.visit_count} in all"
        case _:
            return str(message)


def _seconds(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be positive, in seconds, not {text}")
    return value


def _fail(code: int, why: object) -> int:
    print(f"gazetteer: {why}", file=sys.stderr)
    return code
