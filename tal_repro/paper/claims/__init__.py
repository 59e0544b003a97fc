"""The paper's claims: `claims.toml` holds what the paper says, the modules here compute what the data say.

No derivation can see a reference value or an expected verdict: it is called with the tables it names and nothing
else, and this package never reads `claims.toml` (only `statements` does, which the derivations do not import).
"""
