"""A gRPC service that nobody here can decode: bytes in, bytes out, no `.proto`.

`python -m foreign --listen HOST:PORT --arm NAME` serves it, with grpcio's own health and reflection
beside it. It keeps a ledger of every call that reached it, which a test reads by a call of its own.
"""
