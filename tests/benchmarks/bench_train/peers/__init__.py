"""One driver a peer, started in the peer's own environment; none imports anything of medimg."""
