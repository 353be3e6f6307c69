"""The gazetteer in Python: place names of the world, over gRPC.

`domain` is the gazetteer itself and knows no gRPC and no database; `store` is the database;
`service` joins the two to the contract `gazetteer.v1`; `main` and `load` are the commands.
"""
