"""Makes compound files (MS-CFB), which no library of ours writes."""

import struct


def compound_file(streams: dict[str, bytes]) -> bytes:
    """Returns an MS-CFB file of version 3, its streams, by path, in the small-block area."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    small, chains, starts = b"", [], {}
    for path, data in streams.items():
        starts[path] = len(chains)
        blocks = max(1, -(-len(data) // 64))
        small += data.ljust(blocks * 64, b"\0")
        chains += [len(chains) + 1 + block for block in range(blocks - 1)] + [end]
    small = small.ljust(-(-len(small) // 512) * 512, b"\0")
    paths = [""]
    for path in streams:
        storages = [path[:place] for place, letter in enumerate(path) if letter == "/"]
        paths += [each for each in (*storages, path) if each not in paths]
    children: dict[str, list[int]] = {path: [] for path in paths}
    for place, path in enumerate(paths[1:], 1):
        children[path.rpartition("/")[0]].append(place)

    def entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
        encoded = (name + "\0").encode("utf-16-le")
        head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1)
        return (
            head
            + struct.pack("<III", free, right, child)
            + bytes(36)
            + struct.pack("<IQ", start, size)
        )

    entries = [entry("Root Entry", 5, free, 1, 3, len(small))]
    for place, path in enumerate(paths[1:], 1):
        folder, _, name = path.rpartition("/")
        right = min((each for each in children[folder] if each > place), default=free)
        child = children[path][0] if children[path] else free
        if path in streams:
            entries.append(entry(name, 2, right, free, starts[path], len(streams[path])))
        else:
            entries.append(entry(name, 1, right, child, 0, 0))
    while len(entries) % 4:
        entries.append(bytes(68) + struct.pack("<III", free, free, free) + bytes(48))
    directory = b"".join(entries)
    # Sector 0 is the allocation table, 1 the one of small blocks, 3 on the small blocks
    # themselves; the directory comes last.
    data_sectors = len(small) // 512
    first = 3 + data_sectors
    table = [0xFFFFFFFD, end, end]
    table += [3 + place + 1 for place in range(data_sectors - 1)] + [end]
    table += [first + place + 1 for place in range(len(directory) // 512 - 1)] + [end]
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, first, 0, 4096, 1, 1, end, 0)
    header += struct.pack("<I", 0) + struct.pack("<I", free) * 108
    words = struct.pack(f"<{len(table)}I", *table).ljust(512, b"\xff")
    chain = struct.pack(f"<{len(chains)}I", *chains).ljust(512, b"\xff")
    return header + words + chain + bytes(512) + small + directory
