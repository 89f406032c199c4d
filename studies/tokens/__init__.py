"""How many sequences of tokens until a wrong verifier is refuted, and would the tests in use today have noticed?

    python -m studies.tokens

Part one: every wrong verifier that sampling can show writes sequences of 16 tokens on three laws, and goes through our tests and
through prototypes of single tests, which are written here anew. Part two: the tests that serving engines run today, written anew
from their descriptions, at their sizes, on the same verifiers and on right ones. What is finished is saved, and a study that was
stopped continues where it was. It writes `tokens.json`, `tokens.md` and `tokens.svg`.
"""
