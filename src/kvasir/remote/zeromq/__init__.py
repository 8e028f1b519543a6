"""Components as ZeroMQ services: broker, workers, clients, and a proxy for each role.

    Client -> front end of a Broker -> back end -> Worker with a component
    RemoteEmbedder("ipc:///run/user/1000/kvasir/front") -> ... -> the embedder of a worker

- ``addresses``: where brokers listen, and what may listen beyond this machine.
- ``curve_keys``: keys of brokers, clients and workers.
- ``broker.Broker``, ``worker.Worker`` and ``client.Client``: each runs in threads of its own.
- ``embedding``, ``reranking``, ``generating``, ``storing``: the proxy and the service of a role.
- ``serving``: the service of a component by its role.
"""

EXTRAS = {"remote": "services"}
"""The extra of each component that this package registers."""
