"""The hosts that run functions, played as the real ones behave: AWS Lambda behind SQS, and Azure Functions.

Written from docs/hosts.md, with the vendors' own clients, and not from the bridge's code. Where a host is unkind, so is
its player: it freezes, kills, abandons and waits for ever as the real one does.
"""
