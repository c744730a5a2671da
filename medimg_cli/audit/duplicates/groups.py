"""Which of many things belong together, told pair by pair."""


class Groups:
    """Positions that belong together (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, position: int) -> int:
        """Return the position that stands for the group of `position`."""
        while self._parents[position] != position:
            self._parents[position] = self._parents[self._parents[position]]
            position = self._parents[position]
        return position

    def tie(self, first: int, second: int) -> None:
        """Make the groups of two positions one."""
        self._parents[self.root(first)] = self.root(second)

    def are_tied(self, first: int, second: int) -> bool:
        """Return whether two positions are in one group."""
        return self.root(first) == self.root(second)

    def members(self) -> list[list[int]]:
        """Return the groups of two or more, each in ascending order, by their first position."""
        found: dict[int, list[int]] = {}
        for position in range(len(self._parents)):
            found.setdefault(self.root(position), []).append(position)
        return [group for group in found.values() if len(group) > 1]
