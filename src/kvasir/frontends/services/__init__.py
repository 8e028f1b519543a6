"""The starter of the services: ``kvasir services start``.

- ``plans``: what the settings ask for: brokers, workers, a Chroma server.
- ``parts``: one process that is started, watched, started again and ended.
- ``groups``: the workers of one service.
- ``starter.Starter``: all of them together.
"""
