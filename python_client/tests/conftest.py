"""Fixtures: the fakes, and a tracer that keeps its spans."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from fakes import FakeGazetteer, FakeOperator, serve
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def gazetteer() -> FakeGazetteer:
    return FakeGazetteer()


@pytest.fixture
def target(gazetteer: FakeGazetteer) -> Iterator[str]:
    with serve(gazetteer) as target:
        yield target


@pytest.fixture
def control() -> FakeOperator:
    return FakeOperator()


@pytest.fixture
def control_target(control: FakeOperator) -> Iterator[str]:
    with serve(control) as target:
        yield target


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = _exporter()
    exporter.clear()
    yield exporter
    exporter.clear()


@cache
def _exporter() -> InMemorySpanExporter:
    # The global provider can be set only once in a process.
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter
