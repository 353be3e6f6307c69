"""The gazetteer: generated stubs and a typed client."""
