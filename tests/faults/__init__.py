"""Kills, full disks, damaged artefacts, mutated inputs: the state stays readable and no answer is ever wrong."""
