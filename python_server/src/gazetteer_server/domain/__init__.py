"""The gazetteer itself: pure, in memory, without gRPC and without a database."""
