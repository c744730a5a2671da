"""Pictures that show the same: likely pairs among all, laid onto each other to be sure."""
