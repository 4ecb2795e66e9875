"""Distributed tracing: W3C trace context from hop to hop, spans to an OTLP endpoint where one is set.

Nothing of OpenTelemetry is imported here; `aldea.tracing.otlp` is, once, by a process that exports.
"""
